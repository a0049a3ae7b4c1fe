/** A checkpoint's own copy of an input embedding (upstream's `*_all.pt` files): the SLM's, or another one. */
import { BundleError } from './bundle-errors.ts';
import type { BundleFile } from './bundle.ts';
import type { BundleWriter } from './bundle-writer.ts';
import type { Checkpoint } from './checkpoint/checkpoint.ts';
import { roundToBfloat16, roundToFloat16 } from './number-formats.ts';
import { embeddingTensor } from './router-network/network-tensors.ts';
import type { RowTable } from './row-table.ts';

export const ownEmbeddingFile = 'embedding.bin';
const rowsAtOnce = 1024;

/**
 * Writes the checkpoint's embedding to the bundle if it is not the SLM's. Undefined: it has none, or the SLM's, once rounded to the type the
 * SLM stores. Rows beyond the SLM's vocabulary are left out, because no token has them.
 *
 * @throws BundleError naming the tensor when it has fewer rows than the SLM has tokens
 */
export async function writeOwnEmbedding(
  checkpoint: Checkpoint,
  slmEmbedding: RowTable,
  writer: BundleWriter,
  signal?: AbortSignal,
): Promise<BundleFile | undefined> {
  const tensor = checkpoint.tensors.get(embeddingTensor);
  if (!tensor) return undefined;
  const [rows = 0, width = 0] = tensor.shape;
  if (tensor.shape.length !== 2 || rows < slmEmbedding.rows) {
    const problem = `tensor ${embeddingTensor} has shape [${tensor.shape.join(', ')}], the SLM has ${slmEmbedding.rows} tokens`;
    throw new BundleError('BUNDLE_SLM_MISMATCH', checkpoint.path, problem, 'give the SLM that the checkpoint was trained for');
  }
  const values = (await tensor.read()).subarray(0, slmEmbedding.rows * width);
  if (width === slmEmbedding.width && isTable(values, slmEmbedding, signal)) return undefined;
  return writer.add(ownEmbeddingFile, values.byteLength, [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)], signal);
}

function isTable(values: Float32Array, table: RowTable, signal?: AbortSignal): boolean {
  const { rows, width } = table;
  const stored = new Float32Array(rowsAtOnce * width);
  for (let first = 0; first < rows; first += rowsAtOnce) {
    signal?.throwIfAborted();
    const count = Math.min(rowsAtOnce, rows - first);
    table.gather(
      Array.from({ length: count }, (_, index) => first + index),
      stored,
    );
    const rounded = roundTo(table.type, values.slice(first * width, (first + count) * width));
    for (let index = 0; index < rounded.length; index++) if (!Object.is(rounded[index], stored[index])) return false;
  }
  return true;
}

function roundTo(type: RowTable['type'], values: Float32Array): Float32Array {
  return type === 'F32' ? values : (type === 'BF16' ? roundToBfloat16 : roundToFloat16)(values);
}
