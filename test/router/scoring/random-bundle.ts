import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BundleWriter } from '../../../src/model/bundle-writer.ts';
import type { BundleManifest, Precision } from '../../../src/model/bundle-manifest.ts';
import { openSlmTables, slmDigests } from '../../../src/model/bundle.ts';
import type { Checkpoint, CheckpointTensor } from '../../../src/model/checkpoint/checkpoint.ts';
import { buildNetworkGraph } from '../../../src/model/router-network/index.ts';
import { roundToBfloat16 } from '../../../src/model/number-formats.ts';
import type { ScorableRow } from '../../../src/router/scoring/index.ts';
import { safetensorsFile, storedAs } from '../../model/bundle-slm-folders.ts';

/** Random numbers from a seed, [0, 1). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface NetworkShape {
  readonly hiddenSize: number;
  readonly hiddenDims: readonly number[];
}

/** A checkpoint of upstream's published class with random weights. */
export function randomCheckpoint(
  { hiddenSize, hiddenDims }: NetworkShape,
  seed = 1,
): Pick<Checkpoint, 'modelType' | 'initArgs' | 'tensors'> {
  const random = randomFrom(seed);
  const tensors = new Map<string, CheckpointTensor>();
  const tensor = (name: string, shape: readonly number[], scale: number, centre = 0): void => {
    const length = shape.reduce((a, b) => a * b, 1);
    const read = (): Promise<Float32Array> => Promise.resolve(Float32Array.from({ length }, () => centre + (random() * 2 - 1) * scale));
    tensors.set(name, { shape, type: 'float32', read });
  };
  const linear = (name: string, outputs: number, inputs: number): void => {
    tensor(`${name}.weight`, [outputs, inputs], 1 / Math.sqrt(inputs));
    tensor(`${name}.bias`, [outputs], 1 / Math.sqrt(inputs));
  };
  const norm = (name: string, size: number): void => {
    tensor(`${name}.weight`, [size], 0.1, 1);
    tensor(`${name}.bias`, [size], 0.1);
  };
  const [first = 0] = hiddenDims;
  linear('logits_projection', hiddenSize, 100);
  linear('combined_projection', first, 3 * hiddenSize);
  linear('backbone.input_projection', first, first);
  for (const [index, input] of hiddenDims.entries()) {
    const output = hiddenDims[index + 1] ?? input;
    norm(`backbone.blocks.${index}.layer_norm`, input);
    linear(`backbone.blocks.${index}.mlp.0`, 4 * input, input);
    linear(`backbone.blocks.${index}.mlp.3`, output, 4 * input);
    if (output !== input) linear(`backbone.blocks.${index}.dim_change`, output, input);
  }
  const last = hiddenDims.at(-1) ?? 0;
  norm('backbone.output_layer.0', last);
  linear('backbone.output_layer.1', 1, last);
  return {
    modelType: 'HiddenStatesTokenLMHeadLogitsClassifier',
    initArgs: { hidden_states_size: hiddenSize, logits_size: 100, hidden_dims: hiddenDims, expansion_factor: 4 },
    tensors,
  };
}

/** A model folder with nothing in it but a config and a tied random embedding in bfloat16. */
export async function randomSlm(vocabSize: number, hiddenSize: number, seed = 2): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'r2r-slm-'));
  const random = randomFrom(seed);
  const embedding = Float32Array.from({ length: vocabSize * hiddenSize }, () => (random() * 2 - 1) / 8);
  const tensors = {
    'model.embed_tokens.weight': { type: 'BF16', shape: [vocabSize, hiddenSize], bytes: storedAs('BF16', embedding) },
  } as const;
  await writeFile(join(folder, 'model.safetensors'), safetensorsFile(tensors));
  const config = { model_type: 'qwen2', hidden_size: hiddenSize, vocab_size: vocabSize, tie_word_embeddings: true, dtype: 'bfloat16' };
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  return folder;
}

export interface RandomBundleOptions {
  /** A folder that is not there yet, or an empty one. */
  readonly folder: string;
  readonly slmFolder: string;
  readonly hiddenDims: readonly number[];
  /** None: a bundle that only recovers raw logits. */
  readonly network?: boolean;
  readonly precisions?: readonly Precision[];
}

/** Writes a bundle of a network with random weights. */
export async function writeRandomBundle({
  folder,
  slmFolder,
  hiddenDims,
  network = true,
  precisions = ['fp32', 'int8'],
}: RandomBundleOptions): Promise<BundleManifest> {
  const tables = await openSlmTables(slmFolder);
  const { width: hiddenSize, rows: vocabSize } = tables.embedding;
  const digests = await slmDigests(tables);
  await tables.close();
  const writer = await BundleWriter.create(folder);
  const graphs: BundleManifest['graphs'] = {};
  const slm = { hiddenSize, embeddingSize: hiddenSize, logitsType: 'bfloat16' } as const;
  const checkpoint = network ? randomCheckpoint({ hiddenSize, hiddenDims }) : null;
  let described: Awaited<ReturnType<typeof buildNetworkGraph>> | undefined;
  for (const precision of precisions) {
    described = await buildNetworkGraph(checkpoint, { precision, slm });
    const { model, data } = described;
    graphs[precision] = {
      model: await writer.add(`router-${precision}.onnx`, model.byteLength, [model]),
      ...(data && {
        data: await writer.add(
          data.name,
          data.chunks.reduce((sum, { byteLength }) => sum + byteLength, 0),
          data.chunks,
        ),
      }),
    };
  }
  if (!described) throw new RangeError('no precision');
  const manifest: BundleManifest = {
    formatVersion: 1,
    network: network ? 'HiddenStatesTokenLMHeadLogitsClassifier' : null,
    inputs: [...described.inputs],
    classes: described.classes,
    hiddenSize,
    embeddingSize: hiddenSize,
    logitsSize: described.logitsSize,
    parameters: described.parameters,
    threshold: network ? 0.5 : null,
    logitsType: 'bfloat16',
    slm: { name: 'random', vocabSize, embeddingDigest: digests.embedding, lmHeadDigest: digests.lmHead },
    graphs,
    metrics: {},
    provenance: { checkpointDigest: null, source: 'test' },
  };
  await writer.commit(manifest);
  return manifest;
}

/** A row with the raw logits that a server does not tell, best first. */
export interface DraftedRow extends ScorableRow {
  readonly logits: Float32Array;
}

/** Rows as this SLM would draft them: random states, and the best 100 of the distributions that they give in bfloat16. */
export async function draftedRows(count: number, slmFolder: string, seed = 3): Promise<DraftedRow[]> {
  const tables = await openSlmTables(slmFolder);
  const { rows: vocabSize, width } = tables.lmHead;
  const weights = new Float32Array(vocabSize * width);
  tables.lmHead.gather(
    Int32Array.from({ length: vocabSize }, (_, id) => id),
    weights,
  );
  await tables.close();
  const random = randomFrom(seed);
  return Array.from({ length: count }, () => {
    const hidden = roundToBfloat16(Float32Array.from({ length: width }, () => random() * 8 - 4));
    const logits = new Float32Array(vocabSize);
    for (let id = 0; id < vocabSize; id++) {
      let product = 0;
      for (let column = 0; column < width; column++) product += hidden[column]! * weights[id * width + column]!;
      logits[id] = product;
    }
    roundToBfloat16(logits);
    const ids = Int32Array.from({ length: vocabSize }, (_, id) => id)
      .sort((a, b) => logits[b]! - logits[a]! || a - b)
      .slice(0, 100);
    const largest = logits[ids[0]!]!;
    const constant = largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
    const logprobs = Float64Array.from(ids, (id) => Math.fround(logits[id]! - constant));
    return { id: ids[0]!, top: { ids, logprobs }, hidden, logits: Float32Array.from(ids, (id) => logits[id]!) };
  });
}
