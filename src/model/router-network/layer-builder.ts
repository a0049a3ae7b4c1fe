import type { GraphBuilder } from '../graph-builder.ts';
import type { Linear, Norm } from './network-tensors.ts';
import { quantizeWeights } from './weight-quantization.ts';
import type { WeightFile } from './weight-file.ts';

/** ONNX Runtime's own operators: fused forms that both its CPU and its CUDA provider have. */
const fused = 'com.microsoft';
/** The minimum of GELU, rounded away from zero. */
export const lowestGelu = -0.169_972;
/** PyTorch's default. */
const normEpsilon = { float: 1e-5 };

/** Emits the layers of which networks are made. Weights go to the file, in the precision of the subclass. */
export abstract class LayerBuilder {
  protected readonly graph: GraphBuilder;
  readonly #file: WeightFile;
  #count = 0;

  constructor(graph: GraphBuilder, file: WeightFile) {
    this.graph = graph;
    this.#file = file;
  }

  /** The input [R, inputs] times the layer's weights; the bias is not added. `lowest`: no input is below it. */
  abstract product(input: string, layer: Linear, lowest?: number): string;

  /** As `product`, in float32 whatever the precision. */
  exactProduct(input: string, { outputs, inputs, weight }: Linear): string {
    return this.graph.node('Gemm', [input, this.store('float32', weight, [outputs, inputs])], { transB: 1 });
  }

  /** A whole layer. */
  linear(input: string, layer: Linear): string {
    return this.graph.node('Add', [this.product(input, layer), this.vector(layer.bias)]);
  }

  norm(input: string, norm: Norm): string {
    return this.graph.node('LayerNormalization', [input, this.vector(norm.scale), this.vector(norm.shift)], {
      axis: -1,
      epsilon: normEpsilon,
    });
  }

  /** Adds up values [R, size] and `bias` [size]. Returns the norm of the sum, and the sum. (The runtime's fused form of this takes five times as long.) */
  addAndNorm(values: readonly string[], bias: Float32Array, norm: Norm): { readonly normed: string; readonly sum: string } {
    const sum = [...values, this.vector(bias)].reduce((left, right) => this.graph.node('Add', [left, right]));
    return { normed: this.norm(sum, norm), sum };
  }

  /**
   * GELU, by the error function, of the sum. The bias is a matrix of one row, which keeps the runtime from making one operator of both: that
   * takes half as long again as the two, over many rows.
   */
  biasedGelu(value: string, bias: Float32Array): string {
    const sum = this.graph.node('Add', [value, this.store('float32', bias, [1, bias.length])]);
    return this.graph.node('Gelu', [sum], {}, fused);
  }

  vector(values: Float32Array): string {
    return this.store('float32', values, [values.length]);
  }

  protected store(type: 'float32' | 'int8', values: Float32Array | Int8Array, dims: readonly number[]): string {
    return this.graph.external(`weight_${this.#count++}`, type, dims, this.#file.add(values));
  }
}

/** Matrix products in float32. */
export class SingleLayerBuilder extends LayerBuilder {
  product(input: string, layer: Linear): string {
    return this.exactProduct(input, layer);
  }
}

/**
 * Matrix products of 8-bit integers. Weights have one scale an output. Activations have one scale a row, so that a row's result cannot depend on its
 * neighbours, and are unsigned about 128, because the kernel for two signed operands is a slow reference one. Sums of products are exact.
 */
export class Int8LayerBuilder extends LayerBuilder {
  #zeroPoints: string | undefined;

  product(input: string, layer: Linear, lowest = Number.NEGATIVE_INFINITY): string {
    const { graph } = this;
    const largest = this.#largest(input, lowest);
    // a row of zeros has scale 0: whatever 0 / 0 becomes as an integer, it is multiplied by 0 in the end
    const scale = graph.node('Mul', [largest, graph.scalar('float32', 1 / 127)]);
    this.#zeroPoints ??= graph.node('Expand', [graph.scalar('uint8', 128), graph.node('Shape', [scale])]);
    const quantized = graph.node('QuantizeLinear', [input, scale, this.#zeroPoints], { axis: 0 });
    const { values, scales } = quantizeWeights(layer);
    const weight = this.store('int8', values, [layer.inputs, layer.outputs]);
    const operands = [quantized, weight, graph.scalar('float32', 1), this.vector(scales), graph.scalar('uint8', 128)];
    const sums = graph.node('MatMulIntegerToFloat', operands, {}, fused);
    return graph.node('Mul', [sums, graph.node('Unsqueeze', [scale, graph.integers([1])])]);
  }

  /** A bound of each row's magnitudes [R]: the largest itself, unless a known lowest value spares the look at the negative ones. */
  #largest(input: string, lowest: number): string {
    const { graph } = this;
    const bounded = Number.isFinite(lowest);
    const largest = graph.node('ReduceMax', [bounded ? input : graph.node('Abs', [input])], { axes: [-1], keepdims: 0 });
    return bounded ? graph.node('Max', [largest, graph.scalar('float32', Math.abs(lowest))]) : largest;
  }
}
