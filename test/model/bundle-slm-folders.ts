import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openWeights, type TensorType } from '../../src/model/safetensors.ts';

/** The example SLM: tied embeddings [480, 64] in bfloat16. */
export const tinySlm = join(import.meta.dirname, '../../examples/models/slm');
/** The example LLM, here for its untied LM head: [512, 128] in bfloat16. */
export const tinyLlm = join(import.meta.dirname, '../../examples/models/llm');

export interface StoredTensor {
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A safetensors file: length, header, data. */
export function safetensorsFile(tensors: Readonly<Record<string, StoredTensor>>): Buffer {
  let offset = 0;
  const header: Record<string, unknown> = {};
  for (const [name, { type, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype: type, shape, data_offsets: [offset, (offset += bytes.length)] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, ...Object.values(tensors).map(({ bytes }) => bytes)]);
}

/** The bytes of `values` in a type; exact for what the type can hold. */
export function storedAs(type: TensorType, values: Float32Array): Uint8Array {
  const floats = new Uint8Array(values.slice().buffer);
  if (type === 'F32') return floats;
  if (type === 'BF16') return new Uint8Array(Uint16Array.from(new Uint32Array(floats.buffer), (bits) => bits >>> 16).buffer);
  const view = new DataView(new ArrayBuffer(values.length * 2));
  for (const [index, value] of values.entries()) view.setUint16(index * 2, toHalf(value), true);
  return new Uint8Array(view.buffer);
}

/** Bit pattern of the nearest float16, by bisection over all of them; the values here are small and finite. */
function toHalf(value: number): number {
  const magnitude = Math.abs(Math.f16round(value));
  let low = 0;
  let high = 0x7bff;
  const valueOf = (bits: number) => (bits < 0x400 ? bits * 2 ** -24 : (1 + (bits & 0x3ff) / 1024) * 2 ** ((bits >> 10) - 15));
  while (low < high) {
    const middle = (low + high) >> 1;
    if (valueOf(middle) < magnitude) low = middle + 1;
    else high = middle;
  }
  return value < 0 ? low | 0x8000 : low;
}

/** Saves a model folder again with its tensors in another type, spread over as many files as asked for; `change` edits config.json. */
export async function saveAgain(
  source: string,
  target: string,
  {
    type,
    shards = 1,
    change = {},
  }: { readonly type: TensorType; readonly shards?: number; readonly change?: Readonly<Record<string, unknown>> },
): Promise<void> {
  mkdirSync(target, { recursive: true });
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json'])
    copyFileSync(join(source, name), join(target, name));
  const config = JSON.parse(readFileSync(join(source, 'config.json'), 'utf8')) as object;
  writeFileSync(join(target, 'config.json'), JSON.stringify({ ...config, ...change }));
  const weights = await openWeights(source);
  const files: Record<string, StoredTensor>[] = Array.from({ length: shards }, () => ({}));
  for (const [index, { name, shape }] of [...weights.tensors.values()].entries())
    files[index % shards]![name] = { type, shape, bytes: storedAs(type, await weights.read(name)) };
  if (shards === 1) {
    writeFileSync(join(target, 'model.safetensors'), safetensorsFile(files[0]!));
    return;
  }
  const nameOf = (index: number) => `model-${String(index + 1).padStart(5, '0')}-of-${String(shards).padStart(5, '0')}.safetensors`;
  for (const [index, tensors] of files.entries()) writeFileSync(join(target, nameOf(index)), safetensorsFile(tensors));
  const weightMap = Object.fromEntries(files.flatMap((tensors, index) => Object.keys(tensors).map((name) => [name, nameOf(index)])));
  writeFileSync(join(target, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: weightMap }));
}
