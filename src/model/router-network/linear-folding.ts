import { InferenceSession, Tensor } from 'onnxruntime-node';
import { GraphBuilder } from '../graph-builder.ts';
import type { Linear } from './network-tensors.ts';

/** Columns of the left matrix multiplied at a time: bounds memory where a product runs over a vocabulary. */
const innerPerStep = 4096;

type Values = Float32Array | Float64Array;

/**
 * Multiplies linear layers that follow each other without anything between them into one, in float64: the result differs from running them one by
 * one by no more than float32's own rounding.
 */
export class LinearFolder {
  readonly #session: InferenceSession;

  private constructor(session: InferenceSession) {
    this.#session = session;
  }

  static async create(): Promise<LinearFolder> {
    const graph = new GraphBuilder();
    const left = graph.input('left', 'float64', ['M', 'K']);
    const right = graph.input('right', 'float64', ['K', 'N']);
    graph.output('product', graph.node('MatMul', [left, right]), 'float64', ['M', 'N']);
    return new LinearFolder(await InferenceSession.create(graph.encode('product'), { logSeverityLevel: 3 }));
  }

  /** The layer that does what `first`, then `second` do. */
  async fold(first: Linear<Values>, second: Linear<Values>): Promise<Linear<Float64Array>> {
    const bias = await this.#multiply(second, { ...first, inputs: 1, weight: first.bias });
    for (let output = 0; output < bias.length; output++) bias[output] = (bias[output] ?? 0) + (second.bias[output] ?? 0);
    return { outputs: second.outputs, inputs: first.inputs, weight: await this.#multiply(second, first), bias };
  }

  /** left.weight [outputs, inputs] times right.weight [as many outputs, inputs]. */
  async #multiply(left: Linear<Values>, right: Linear<Values>): Promise<Float64Array> {
    const sum = new Float64Array(left.outputs * right.inputs);
    for (let start = 0; start < left.inputs; start += innerPerStep) {
      const count = Math.min(innerPerStep, left.inputs - start);
      const rightRows = right.weight.subarray(start * right.inputs, (start + count) * right.inputs);
      const { product } = await this.#session.run({
        left: new Tensor('float64', Float64Array.from(columns(left, start, count).weight), [left.outputs, count]),
        right: new Tensor('float64', Float64Array.from(rightRows), [count, right.inputs]),
      });
      if (!(product?.data instanceof Float64Array)) throw new TypeError('the product graph lacks its output');
      for (let index = 0; index < sum.length; index++) sum[index] = (sum[index] ?? 0) + (product.data[index] ?? 0);
    }
    return sum;
  }

  close(): Promise<void> {
    return this.#session.release();
  }
}

/** The part of a layer that reads `count` inputs from `start` on; the bias stays as it is. */
export function columns<Kind extends Values>(layer: Linear<Kind>, start: number, count: number): Linear<Kind> {
  if (start === 0 && count === layer.inputs) return layer;
  const weight = layer.weight.slice(0, layer.outputs * count) as Kind;
  for (let output = 0; output < layer.outputs; output++) {
    const first = output * layer.inputs + start;
    weight.set(layer.weight.subarray(first, first + count), output * count);
  }
  return { ...layer, inputs: count, weight };
}

export function toSingle({ outputs, inputs, weight, bias }: Linear<Values>): Linear {
  return { outputs, inputs, weight: Float32Array.from(weight), bias: Float32Array.from(bias) };
}
