import { open, readdir, realpath, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ModelError } from './errors.ts';
import { assertModelFolder, readOptionalJson } from './model-file.ts';
import { bfloat16ToFloat32, float16ToFloat32 } from './number-formats.ts';

/** Element types that can be read. */
export type TensorType = 'F32' | 'F16' | 'BF16';

/** Where one tensor lies. */
export interface TensorEntry {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
  /** The file it is in, symbolic links resolved (the Hugging Face cache is full of them). */
  readonly file: string;
  /** Position of the first byte in that file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** The tensors of a model folder; nothing but the headers is read until a tensor is asked for. */
export interface Weights {
  readonly folder: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** Number of parameters; tied embeddings count once, since they are stored once. */
  readonly parameterCount: number;
  /**
   * A tensor's values as float32, row-major. `rows` picks rows of a matrix: `count` rows from `first` on.
   * Throws `MODEL_FILE_MISSING` naming the tensor when the model has none of that name.
   */
  read(name: string, rows?: { readonly first: number; readonly count: number }): Promise<Float32Array>;
}

const bytesPerElement: Readonly<Record<TensorType, number>> = { F32: 4, F16: 2, BF16: 2 };
const maxHeaderBytes = 100_000_000;
const headerEntry = z.object({
  dtype: z.string(),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});
const header = z.record(z.string(), z.unknown());
const shardIndex = z.looseObject({ weight_map: z.record(z.string(), z.string().regex(/^[^/\\]+$/, 'must be a file name')) });

const damaged = 'download the model again';

async function readExactly(handle: FileHandle, path: string, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let read = 0;
  while (read < length) {
    const { bytesRead } = await handle.read(buffer, read, length - read, position + read);
    if (bytesRead === 0) throw new ModelError('MODEL_FILE_INVALID', path, `ends after ${position + read} bytes`, damaged);
    read += bytesRead;
  }
  return buffer;
}

function parseEntry(path: string, name: string, value: unknown, dataStart: number, fileSize: number): TensorEntry {
  const parsed = headerEntry.safeParse(value);
  if (!parsed.success)
    throw new ModelError('MODEL_FILE_INVALID', path, `the header entry of tensor ${name} is malformed`, damaged, parsed.error);
  const { dtype, shape, data_offsets: offsets } = parsed.data;
  if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') {
    throw new ModelError(
      'MODEL_UNSUPPORTED',
      path,
      `tensor ${name} has type ${dtype}`,
      'use a model stored in F32, F16 or BF16 (not a quantised one)',
    );
  }
  const byteLength = offsets[1] - offsets[0];
  const expected = shape.reduce((product, size) => product * size, bytesPerElement[dtype]);
  if (byteLength !== expected || dataStart + offsets[1] > fileSize) {
    throw new ModelError(
      'MODEL_FILE_INVALID',
      path,
      `tensor ${name} claims bytes ${offsets.join('-')} for ${expected} bytes of data`,
      damaged,
    );
  }
  return { name, type: dtype, shape, file: path, offset: dataStart + offsets[0], byteLength };
}

/** Reads one file's header: 8 bytes little-endian length, then JSON `{name: {dtype, shape, data_offsets}}`. */
async function readHeader(path: string): Promise<TensorEntry[]> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    if (size < 8) throw new ModelError('MODEL_FILE_INVALID', path, `has only ${size} bytes`, damaged);
    const length = Number((await readExactly(handle, path, 0, 8)).readBigUInt64LE());
    if (length > maxHeaderBytes || length > size - 8)
      throw new ModelError('MODEL_FILE_INVALID', path, `claims a header of ${length} bytes`, damaged);
    const text = (await readExactly(handle, path, 8, length)).toString('utf8');
    let entries: Record<string, unknown>;
    try {
      entries = header.parse(JSON.parse(text));
    } catch (cause) {
      throw new ModelError('MODEL_FILE_INVALID', path, 'its header is not a JSON object', damaged, cause);
    }
    return Object.entries(entries)
      .filter(([name]) => name !== '__metadata__')
      .map(([name, value]) => parseEntry(path, name, value, 8 + length, size));
  } finally {
    await handle.close();
  }
}

async function weightFiles(folder: string): Promise<string[]> {
  const index = await readOptionalJson(folder, 'model.safetensors.index.json', shardIndex);
  const names = index ? [...new Set(Object.values(index.weight_map))].sort() : ['model.safetensors'];
  for (const name of names) {
    const there = await stat(join(folder, name)).catch(() => undefined);
    if (there?.isFile()) continue;
    const others = (await readdir(folder)).filter((file) => file.endsWith('.bin') || file.endsWith('.gguf') || file.endsWith('.pt'));
    const fix = others.length > 0 ? `convert ${others.join(', ')} to safetensors` : damaged;
    throw new ModelError('MODEL_FILE_MISSING', join(folder, name), 'no such file', fix);
  }
  return Promise.all(names.map((name) => realpath(join(folder, name))));
}

function toFloat32(type: TensorType, bytes: Buffer): Float32Array {
  const aligned = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  if (type === 'F32') return new Float32Array(aligned);
  return (type === 'BF16' ? bfloat16ToFloat32 : float16ToFloat32)(new Uint16Array(aligned));
}

/** Opens a folder's model.safetensors, or the shards of model.safetensors.index.json. Throws `ModelError` naming the file and the fix. */
export async function openWeights(folder: string): Promise<Weights> {
  await assertModelFolder(folder);
  const entries = (await Promise.all((await weightFiles(folder)).map(readHeader))).flat();
  const tensors = new Map(entries.map((entry) => [entry.name, entry]));
  return {
    folder,
    tensors,
    parameterCount: entries.reduce((sum, entry) => sum + entry.byteLength / bytesPerElement[entry.type], 0),
    async read(name, rows) {
      const entry = tensors.get(name);
      if (!entry)
        throw new ModelError(
          'MODEL_FILE_MISSING',
          folder,
          `the model has no tensor ${name}`,
          'use a Qwen2, Qwen3 or Llama model with all its weights',
        );
      const rowCount = entry.shape[0] ?? 1;
      const rowBytes = rowCount === 0 ? 0 : entry.byteLength / rowCount;
      const { first, count } = rows ?? { first: 0, count: rowCount };
      if (first < 0 || count < 0 || first + count > rowCount)
        throw new RangeError(`rows ${first}..${first + count} of tensor ${name}, which has ${rowCount}`);
      const handle = await open(entry.file, 'r');
      try {
        return toFloat32(entry.type, await readExactly(handle, entry.file, entry.offset + first * rowBytes, count * rowBytes));
      } finally {
        await handle.close();
      }
    },
  };
}
