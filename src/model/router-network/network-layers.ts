import type { GraphBuilder } from '../graph-builder.ts';
import { lowestGelu, type LayerBuilder } from './layer-builder.ts';
import type { Feature } from './network-class.ts';
import type { NetworkConfig } from './network-config.ts';
import type { NetworkEntry } from './network-entry.ts';
import { normNames, type NetworkTensors } from './network-tensors.ts';

/** Values of the graph, by feature: one row of each for every token to be judged. */
export type Features = ReadonlyMap<Feature, string>;

/** Emits a whole network, from its features to the scores [B, classes]. */
export async function emitNetwork(
  graph: GraphBuilder,
  layers: LayerBuilder,
  config: NetworkConfig,
  tensors: NetworkTensors,
  entry: NetworkEntry,
  features: Features,
): Promise<string> {
  const { hiddenDims, endsInSoftmax } = config;
  const inputs = await preparedFeatures(graph, layers, config, tensors, features);
  const first = emitEntry(graph, layers, config, entry, inputs);
  let { normed, sum } = layers.addAndNorm(first, entry.bias, await tensors.norm('backbone.blocks.0.layer_norm'));
  for (const index of hiddenDims.keys()) {
    const block = `backbone.blocks.${index}`;
    const [up, down] = [await tensors.linear(`${block}.mlp.0`), await tensors.linear(`${block}.mlp.3`)];
    const fed = layers.product(layers.biasedGelu(layers.product(normed, up), up.bias), down, lowestGelu);
    const change = `${block}.dim_change`;
    const residual = tensors.has(`${change}.weight`) ? layers.linear(sum, await tensors.linear(change)) : sum;
    const last = index === hiddenDims.length - 1;
    const norm = await tensors.norm(last ? 'backbone.output_layer.0' : `backbone.blocks.${index + 1}.layer_norm`);
    ({ normed, sum } = layers.addAndNorm([fed, residual], down.bias, norm));
  }
  const head = await tensors.linear('backbone.output_layer.1');
  const scores = graph.node('Add', [layers.exactProduct(normed, head), layers.vector(head.bias)]);
  return endsInSoftmax ? graph.node('Softmax', [scores], { axis: -1 }) : scores;
}

/** With `normalize_input` a norm of hidden state and embedding, a softmax of logits; then the rows of a window side by side. */
async function preparedFeatures(
  graph: GraphBuilder,
  layers: LayerBuilder,
  config: NetworkConfig,
  tensors: NetworkTensors,
  features: Features,
): Promise<Features> {
  const prepared = new Map<Feature, string>();
  const norms = normNames(config);
  for (const feature of config.kind.features) {
    let value = features.get(feature) ?? '';
    if (config.normalizeInput) {
      const norm = feature === 'logits' ? undefined : norms.get(feature);
      value = norm === undefined ? graph.node('Softmax', [value], { axis: -1 }) : layers.norm(value, await tensors.norm(norm));
    }
    const size = feature === 'logits' ? config.logitsSize : config.hiddenSize;
    if (config.window > 1) value = graph.node('Reshape', [value, graph.integers([-1, (size ?? 0) * config.window])]);
    prepared.set(feature, value);
  }
  return prepared;
}

/** The values whose sum, with the entry's bias, enters the backbone. */
function emitEntry(
  graph: GraphBuilder,
  layers: LayerBuilder,
  { topK }: NetworkConfig,
  { parts, lmHead }: NetworkEntry,
  features: Features,
): string[] {
  const values: string[] = [];
  for (const [feature, layer] of parts) {
    let input = features.get(feature) ?? '';
    if (lmHead && topK !== null) {
      const all = layers.linear(input, lmHead);
      [input = ''] = graph.nodes('TopK', [all, graph.integers([topK])], 2, { axis: -1, largest: 1, sorted: 1 });
    }
    // logits are few and near each other: rounding them to 8 bits would save nothing and lose what tells them apart
    const few = feature === 'logits' || lmHead !== null;
    values.push(few ? layers.exactProduct(input, layer) : layers.product(input, layer));
  }
  return values;
}
