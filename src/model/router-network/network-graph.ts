import type { BundleInput, Precision } from '../bundle-manifest.ts';
import { recoveryRows } from '../bundle-manifest.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { GraphBuilder } from '../graph-builder.ts';
import { NetworkError } from './errors.ts';
import { Int8LayerBuilder, SingleLayerBuilder } from './layer-builder.ts';
import { recoverLogits, type LogitsType } from './logit-recovery.ts';
import type { Feature } from './network-class.ts';
import { parseNetworkConfig, type NetworkConfig } from './network-config.ts';
import { readEntry } from './network-entry.ts';
import { emitNetwork } from './network-layers.ts';
import { embeddingTensor, NetworkTensors } from './network-tensors.ts';
import { WeightFile } from './weight-file.ts';

/** Logits that a bundle without a network recovers: what engines are asked for. */
const usualLogitsSize = 100;

export interface NetworkGraphOptions {
  readonly precision: Precision;
  readonly slm: {
    readonly hiddenSize: number;
    readonly embeddingSize: number;
    /** What the SLM's server rounds logits to. */
    readonly logitsType: LogitsType;
  };
}

/**
 * A router network as ONNX, with the recovery of raw logits where it takes logits. `bundleManifestSchema` says what goes in, which must be finite,
 * and what comes out. A row's outputs have the same bits alone and in any batch.
 */
export interface NetworkGraph {
  /** The .onnx file. */
  readonly model: Uint8Array;
  /** The file of external initialisers: it must lie under this name in the folder that the runtime is given; null: there is none. */
  readonly data: { readonly name: string; readonly chunks: readonly Uint8Array[] } | null;
  readonly inputs: readonly BundleInput[];
  readonly classes: 0 | 1 | 3;
  readonly logitsSize: number;
  readonly hiddenSize: number;
  readonly embeddingSize: number;
  readonly parameters: number;
  /**
   * Rows that are looked at together. Above 1 the inputs have an axis of this size behind the first, in the order of their positions, the row to
   * be judged last: `hidden` [B, window, hiddenSize], `logprobs` [B, window, logitsSize], `lm_head` [B, window, 5, hiddenSize]. `raw_logits`
   * are the last row's, `spread` is the largest of the window's.
   */
  readonly window: number;
}

/**
 * Builds the graph of a checkpoint's network; null: of a bundle that only recovers raw logits.
 * @throws NetworkError naming class, tensor or argument
 */
export async function buildNetworkGraph(
  checkpoint: Pick<Checkpoint, 'modelType' | 'initArgs' | 'tensors'> | null,
  { precision, slm }: NetworkGraphOptions,
): Promise<NetworkGraph> {
  const config = checkpoint && parseNetworkConfig(checkpoint.modelType, checkpoint.initArgs);
  const inputs = inputsOf(config);
  const logitsSize = Math.max(config?.logitsSize ?? usualLogitsSize, recoveryRows);
  const embeddingSize = checkpoint?.tensors.get(embeddingTensor)?.shape[1] ?? slm.embeddingSize;
  const described = { inputs, logitsSize, hiddenSize: slm.hiddenSize, embeddingSize, window: config?.window ?? 1 };
  const graph = new GraphBuilder();
  const logits = emitInputs(graph, described, slm.logitsType);
  if (!checkpoint || !config) return { ...described, model: graph.encode('recovery'), data: null, classes: 0, parameters: 0 };

  assertFits(config, slm.hiddenSize, embeddingSize);
  const tensors = new NetworkTensors(config, checkpoint.tensors, embeddingSize);
  const entry = await readEntry(config, tensors, embeddingSize);
  const file = new WeightFile(`router-${precision}.bin`);
  const layers = new (precision === 'int8' ? Int8LayerBuilder : SingleLayerBuilder)(graph, file);
  const features = new Map<Feature, string>([
    ['hidden', 'hidden'],
    ['embedding', 'embedding'],
  ]);
  if (logits !== null && config.logitsSize !== null) features.set('logits', firstColumns(graph, logits, config.logitsSize, logitsSize));
  graph.output('scores', await emitNetwork(graph, layers, config, tensors, entry, features), 'float32', ['B', config.classes]);
  const data = { name: file.name, chunks: file.chunks };
  return { ...described, model: graph.encode('router'), data, classes: config.classes, parameters: tensors.parameters };
}

type Description = Pick<NetworkGraph, 'inputs' | 'logitsSize' | 'hiddenSize' | 'embeddingSize' | 'window'>;

/** Logits need all that they are recovered from, whatever else the network looks at. */
function inputsOf(config: NetworkConfig | null): BundleInput[] {
  const features: readonly Feature[] = config?.kind.features ?? ['logits'];
  const wanted: Readonly<Record<BundleInput, boolean>> = {
    hidden: features.includes('hidden') || features.includes('logits'),
    embedding: features.includes('embedding'),
    logprobs: features.includes('logits'),
    lm_head: features.includes('logits'),
  };
  return (Object.keys(wanted) as BundleInput[]).filter((input) => wanted[input]);
}

/** Declares the inputs and, where they allow it, recovers raw logits: [B x window, logitsSize]; null: they don't. */
function emitInputs(graph: GraphBuilder, { inputs, logitsSize, hiddenSize, embeddingSize, window }: Description, logitsType: LogitsType) {
  const axis = window > 1 ? [window] : [];
  const sizes: Readonly<Record<BundleInput, readonly number[]>> = {
    hidden: [...axis, hiddenSize],
    embedding: [embeddingSize],
    logprobs: [...axis, logitsSize],
    lm_head: [...axis, recoveryRows, hiddenSize],
  };
  for (const name of inputs) graph.input(name, 'float32', ['B', ...sizes[name]]);
  if (!inputs.includes('lm_head')) return null;

  const reshape = (value: string, size: readonly number[]) =>
    window === 1 ? value : graph.node('Reshape', [value, graph.integers([-1, ...size])]);
  const rows = {
    hidden: reshape('hidden', [hiddenSize]),
    lmHead: reshape('lm_head', [recoveryRows, hiddenSize]),
    logprobs: reshape('logprobs', [logitsSize]),
  };
  const { logits, spread } = recoverLogits(graph, rows, logitsType);
  const lastRow =
    window === 1 ? logits : graph.node('Gather', [reshape(logits, [window, logitsSize]), graph.scalar('int64', window - 1)], { axis: 1 });
  const widest = window === 1 ? spread : graph.node('ReduceMax', [reshape(spread, [window])], { axes: [1], keepdims: 0 });
  graph.output('raw_logits', lastRow, 'float32', ['B', logitsSize]);
  graph.output('spread', widest, 'float32', ['B']);
  return logits;
}

function firstColumns(graph: GraphBuilder, value: string, count: number, all: number): string {
  if (count === all) return value;
  return graph.node('Slice', [value, graph.integers([0]), graph.integers([count]), graph.integers([1])]);
}

function assertFits(config: NetworkConfig, hiddenSize: number, embeddingSize: number): void {
  const refuse = (problem: string) => {
    throw new NetworkError('NETWORK_SLM_MISMATCH', config.name, problem, 'use the SLM that the router was trained with');
  };
  if (config.hiddenSize !== null && config.hiddenSize !== hiddenSize)
    refuse(`it takes hidden states of ${config.hiddenSize} values, and the SLM's have ${hiddenSize}`);
  if (config.normalizeInput && config.kind.features.includes('embedding') && embeddingSize !== hiddenSize)
    refuse(`it norms embeddings of ${embeddingSize} values by weights for ${hiddenSize}`);
}
