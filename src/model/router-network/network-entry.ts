import { columns, LinearFolder, toSingle } from './linear-folding.ts';
import type { Feature } from './network-class.ts';
import type { NetworkConfig } from './network-config.ts';
import type { Linear, NetworkTensors } from './network-tensors.ts';

/** The way from the features into the backbone, the linear layers on it multiplied into one. */
export interface NetworkEntry {
  /** The layer by the features it reads, whose products are to be added up; their biases are no part of the sum. */
  readonly parts: ReadonlyMap<Feature, Linear>;
  /** Added once: all biases on the way, and the position embedding. */
  readonly bias: Float32Array;
  /** An LM head whose best outputs take the place of the hidden state. */
  readonly lmHead: Linear | null;
}

/** Reads the layers before the first block and folds them: `logits_projection` or `lm_head`, the entry layer, `backbone.input_projection`. */
export async function readEntry(config: NetworkConfig, tensors: NetworkTensors, embeddingSize: number): Promise<NetworkEntry> {
  const { kind, topK, positions } = config;
  const folder = await LinearFolder.create();
  try {
    const entry = await tensors.linear(kind.entry);
    const before = kind.throughLmHead && topK === null ? await folder.fold(await tensors.linear('lm_head'), entry) : entry;
    const whole = await folder.fold(before, await tensors.linear('backbone.input_projection'));
    let bias = whole.bias;
    const parts = new Map<Feature, Linear>();
    let start = 0;
    for (const feature of kind.features) {
      if (kind.entry !== 'combined_projection') {
        parts.set(feature, toSingle(whole));
        continue;
      }
      const width = feature === 'embedding' ? embeddingSize : (config.hiddenSize ?? 0);
      const part = columns(whole, start, width);
      start += width;
      if (feature === 'logits') {
        const projected = await folder.fold(await tensors.linear('logits_projection'), part);
        bias = projected.bias;
        parts.set(feature, toSingle(projected));
      } else parts.set(feature, toSingle(part));
    }
    if (positions > 0) {
      const position = await tensors.firstPosition(whole.outputs);
      bias = bias.map((value, output) => value + (position[output] ?? 0));
    }
    const lmHead = kind.throughLmHead && topK !== null ? await tensors.linear('lm_head') : null;
    return { parts, bias: Float32Array.from(bias), lmHead };
  } finally {
    await folder.close();
  }
}
