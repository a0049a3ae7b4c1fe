import type { Checkpoint, CheckpointTensor } from '../../../src/model/checkpoint/checkpoint.ts';
import type { Values } from './golden.ts';

/** Numbers that look random and are the same on every run (mulberry32). */
export class RandomNumbers {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** From 0 to below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Nearly normal about `mean`: a sum of four. */
  values(count: number, deviation: number, mean = 0): Float32Array {
    const draw = () => this.next() + this.next() + this.next() + this.next() - 2;
    return Float32Array.from({ length: count }, () => mean + draw() * Math.sqrt(3) * deviation);
  }

  rows(shape: readonly number[], deviation: number): Values {
    return { shape, values: this.values(product(shape), deviation) };
  }
}

export interface NetworkSize {
  readonly hiddenSize: number;
  readonly embeddingSize: number;
  readonly logitsSize: number;
  readonly hiddenDims: readonly number[];
  readonly expansionFactor: number;
}

type NetworkInput = Pick<Checkpoint, 'modelType' | 'initArgs' | 'tensors'>;

/** A network of the class that upstream ships, with weights that keep activations of the size they have in a trained one. */
export function randomNetwork(size: NetworkSize, random: RandomNumbers): NetworkInput {
  const { hiddenSize, embeddingSize, logitsSize, hiddenDims, expansionFactor } = size;
  const tensors = new Map<string, CheckpointTensor>();
  const add = (name: string, shape: readonly number[], deviation: number, mean = 0) => {
    const values = random.values(product(shape), deviation, mean);
    tensors.set(name, { shape, type: 'float32', read: () => Promise.resolve(values) });
  };
  const addLinear = (name: string, outputs: number, inputs: number) => {
    add(`${name}.weight`, [outputs, inputs], inputs ** -0.5);
    add(`${name}.bias`, [outputs], 0.1);
  };
  const addNorm = (name: string, width: number) => {
    add(`${name}.weight`, [width], 0.1, 1);
    add(`${name}.bias`, [width], 0.1);
  };
  const first = hiddenDims[0] ?? 0;
  addLinear('logits_projection', hiddenSize, logitsSize);
  addLinear('combined_projection', first, 2 * hiddenSize + embeddingSize);
  addLinear('backbone.input_projection', first, first);
  for (const [index, input] of hiddenDims.entries()) {
    const output = hiddenDims[index + 1] ?? input;
    const block = `backbone.blocks.${index}`;
    addNorm(`${block}.layer_norm`, input);
    addLinear(`${block}.mlp.0`, input * expansionFactor, input);
    addLinear(`${block}.mlp.3`, output, input * expansionFactor);
    if (output !== input) addLinear(`${block}.dim_change`, output, input);
  }
  addNorm('backbone.output_layer.0', hiddenDims.at(-1) ?? 0);
  addLinear('backbone.output_layer.1', 1, hiddenDims.at(-1) ?? 0);
  return {
    modelType: 'HiddenStatesTokenLMHeadLogitsClassifier',
    initArgs: { hidden_states_size: hiddenSize, logits_size: logitsSize, hidden_dims: hiddenDims, expansion_factor: expansionFactor },
    tensors,
  };
}

function product(shape: readonly number[]): number {
  return shape.reduce((all, axis) => all * axis, 1);
}
