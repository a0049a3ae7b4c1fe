import { dirname } from 'node:path';
import { ModelError } from './errors.ts';
import { fastExponential } from './fast-exponential.ts';
import { GraphBuilder } from './graph-builder.ts';
import type { ComputeType, ModelConfig } from './model-config.ts';
import { elementType } from './onnx-schema.ts';
import type { TensorEntry, Weights } from './safetensors.ts';

/** A decoder as ONNX: run it with `weightsFolder` as the folder of external initialisers. */
export interface DecoderGraph {
  readonly bytes: Uint8Array;
  readonly weightsFolder: string;
}

/**
 * Builds the graph of one forward pass over T new tokens of one sequence whose P earlier tokens lie in a key-value pool.
 *
 * Inputs (S = P + T, R chosen rows, N pool slots, W = 2 x key-value heads x head size):
 * - `ids` int32 [T]: the new tokens
 * - `cos`, `sin` float [T, 1, head size]: rotary factors of their positions; `sin` has its first half negated
 * - `mask` float [T, S]: 0 where a token may look, a very negative number elsewhere
 * - `vectorized` bool [T, S], only with a 16-bit compute type: which scores PyTorch's kernel would exponentiate 16 at a time
 * - `slots` int32 [P]: where the earlier tokens lie in the pool
 * - `rows` int32 [R]: which of the T rows need logits
 * - `pool_L` float [N, W] for each layer L: keys, then values of each slot
 *
 * Outputs: `hidden` float [T, hidden size] after the final norm (what enters the LM head), `logits` float [R, vocabulary], and `new_L`
 * float [T, W], the new tokens' keys and values, which the caller writes to the pool.
 *
 * Arithmetic is float32. With a 16-bit compute type every result that PyTorch would store in that type is rounded to it, so that the values
 * are those of a 16-bit model up to the order of summation (SGLang's `forward_native` paths are the reference).
 */
export function buildDecoderGraph(config: ModelConfig, weights: Weights): DecoderGraph {
  return new DecoderGraphBuilder(config, weights).build();
}

class DecoderGraphBuilder {
  readonly #config: ModelConfig;
  readonly #weights: Weights;
  readonly #graph = new GraphBuilder();
  #weightsFolder: string | undefined;

  constructor(config: ModelConfig, weights: Weights) {
    this.#config = config;
    this.#weights = weights;
  }

  build(): DecoderGraph {
    const { hiddenSize, vocabSize, headSize, keyValueHeadCount, layerCount, tiedEmbeddings } = this.#config;
    const graph = this.#graph;
    const ids = graph.input('ids', 'int32', ['T']);
    const rows = graph.input('rows', 'int32', ['R']);
    for (const name of ['cos', 'sin']) graph.input(name, 'float32', ['T', 1, headSize]);
    graph.input('mask', 'float32', ['T', 'S']);
    if (this.#config.computeType !== 'float32') graph.input('vectorized', 'bool', ['T', 'S']);
    graph.input('slots', 'int32', ['P']);

    const embedding = this.#entry('model.embed_tokens.weight', [vocabSize, hiddenSize]);
    let residual = this.#toFloat(graph.node('Gather', [graph.stored(embedding).name, ids]), embedding);
    let normed = this.#norm(residual, 'model.layers.0.input_layernorm.weight', hiddenSize);
    for (let layer = 0; layer < layerCount; layer++) {
      const prefix = `model.layers.${layer}`;
      const pool = graph.input(`pool_${layer}`, 'float32', ['N', 2 * keyValueHeadCount * headSize]);
      const attended = graph.node('Add', [this.#attention(normed, prefix, layer, pool), residual]);
      residual = this.#round(attended);
      normed = this.#norm(attended, `${prefix}.post_attention_layernorm.weight`, hiddenSize);
      const fed = graph.node('Add', [this.#mlp(normed, prefix), residual]);
      residual = this.#round(fed);
      const next = layer + 1 < layerCount ? `model.layers.${layer + 1}.input_layernorm.weight` : 'model.norm.weight';
      normed = this.#norm(fed, next, hiddenSize);
    }
    graph.output('hidden', normed, 'float32', ['T', hiddenSize]);

    const chosen = graph.node('Gather', [normed, rows]);
    const head = tiedEmbeddings ? 'model.embed_tokens' : 'lm_head';
    graph.output('logits', this.#linear(chosen, [{ name: head, outputs: vocabSize }], hiddenSize), 'float32', ['R', vocabSize]);
    return { bytes: graph.encode(), weightsFolder: this.#weightsFolder ?? this.#weights.folder };
  }

  #attention(input: string, prefix: string, layer: number, pool: string): string {
    const { headCount, keyValueHeadCount, headSize, hiddenSize } = this.#config;
    const graph = this.#graph;
    const querySize = headCount * headSize;
    const keyValueSize = keyValueHeadCount * headSize;

    const projected = this.#linear(
      input,
      [
        { name: `${prefix}.self_attn.q_proj`, outputs: querySize },
        { name: `${prefix}.self_attn.k_proj`, outputs: keyValueSize },
        { name: `${prefix}.self_attn.v_proj`, outputs: keyValueSize },
      ],
      hiddenSize,
    );
    const heads = this.#reshape(projected, [-1, headCount + 2 * keyValueHeadCount, headSize]);
    const [query, key, value] = this.#split(this.#rotateQueryAndKey(heads, prefix), [headCount, keyValueHeadCount, keyValueHeadCount], 1);

    const added = this.#reshape(graph.node('Concat', [key, value], { axis: 1 }), [-1, 2 * keyValueSize]);
    graph.output(`new_${layer}`, added, 'float32', ['T', 2 * keyValueSize]);
    const earlier = graph.node('Gather', [pool, 'slots']);
    const all = this.#reshape(graph.node('Concat', [earlier, added], { axis: 0 }), [-1, 2 * keyValueHeadCount, headSize]);
    const byHead = graph.node('Transpose', [all], { perm: [1, 0, 2] });
    const [keys, values] = this.#split(byHead, [keyValueHeadCount, keyValueHeadCount], 0);

    // query heads that share a key-value head lie side by side, so that one batched product serves them all
    const queries = this.#reshape(graph.node('Transpose', [query], { perm: [1, 0, 2] }), [keyValueHeadCount, -1, headSize]);
    const scores = graph.node('FusedMatMul', [queries, keys], { transB: 1, alpha: { float: headSize ** -0.5 } }, 'com.microsoft');
    const scoreShape = graph.node('Concat', [graph.integers([headCount]), graph.node('Shape', ['mask'])], { axis: 0 });
    const masked = graph.node('Add', [graph.node('Reshape', [scores, scoreShape]), 'mask']);
    const mixed = this.#weigh(masked, scores, values);
    const merged = this.#reshape(graph.node('Transpose', [mixed], { perm: [1, 0, 2] }), [-1, querySize]);
    return this.#linear(this.#round(merged), [{ name: `${prefix}.self_attn.o_proj`, outputs: hiddenSize }], querySize);
  }

  /**
   * Softmax of [heads, T, S] times the values: [heads, T, head size]. With a 16-bit type as PyTorch's fused attention computes it on CPUs: weights
   * are rounded before they are divided by their sum, and made by a fast exponential where its vector instructions do.
   */
  #weigh(scores: string, groupedScores: string, values: string): string {
    const { headCount, headSize, computeType } = this.#config;
    const graph = this.#graph;
    const product = (weights: string) => {
      const grouped = graph.node('Reshape', [weights, graph.node('Shape', [groupedScores])]);
      return this.#reshape(graph.node('MatMul', [grouped, values]), [headCount, -1, headSize]);
    };
    if (computeType === 'float32') return product(graph.node('Softmax', [scores], { axis: -1 }));
    const highest = graph.node('ReduceMax', [scores], { axes: [-1], keepdims: 1 });
    const relative = graph.node('Sub', [scores, highest]);
    const weights = graph.node('Where', ['vectorized', fastExponential(graph, relative), graph.node('Exp', [relative])]);
    const sum = graph.node('ReduceSum', [weights, graph.integers([-1])], { keepdims: 1 });
    return graph.node('Div', [product(this.#round(weights)), sum]);
  }

  /** Rotates the query and key heads of [T, all heads, head size]; value heads pass. */
  #rotateQueryAndKey(heads: string, prefix: string): string {
    const { headCount, keyValueHeadCount, headSize, queryKeyNorm } = this.#config;
    const graph = this.#graph;
    let rotated: string;
    let value: string;
    if (queryKeyNorm) {
      const [query, key, rest] = this.#split(heads, [headCount, keyValueHeadCount, keyValueHeadCount], 1);
      const normedQuery = this.#norm(query, `${prefix}.self_attn.q_norm.weight`, headSize);
      const normedKey = this.#norm(key, `${prefix}.self_attn.k_norm.weight`, headSize);
      rotated = graph.node('Concat', [normedQuery, normedKey], { axis: 1 });
      value = rest;
    } else {
      [rotated, value] = this.#split(heads, [headCount + keyValueHeadCount, keyValueHeadCount], 1);
    }
    const [first, second] = this.#split(rotated, [headSize / 2, headSize / 2], 2);
    const swapped = graph.node('Concat', [second, first], { axis: 2 });
    const straight = this.#round(graph.node('Mul', [rotated, 'cos']));
    const crossed = this.#round(graph.node('Mul', [swapped, 'sin']));
    return graph.node('Concat', [this.#round(graph.node('Add', [straight, crossed])), value], { axis: 1 });
  }

  #mlp(input: string, prefix: string): string {
    const { hiddenSize, intermediateSize } = this.#config;
    const graph = this.#graph;
    const both = this.#linear(
      input,
      [
        { name: `${prefix}.mlp.gate_proj`, outputs: intermediateSize },
        { name: `${prefix}.mlp.up_proj`, outputs: intermediateSize },
      ],
      hiddenSize,
    );
    const [gate, up] = this.#split(both, [intermediateSize, intermediateSize], 1);
    // x / (1 + exp(-x)) rather than the runtime's own sigmoid, whose last digits differ from everybody else's
    const denominator = graph.node('Add', [graph.node('Exp', [graph.node('Neg', [gate])]), graph.floats([1])]);
    const activated = this.#round(graph.node('Div', [gate, denominator]));
    const product = this.#round(graph.node('Mul', [activated, up]));
    return this.#linear(product, [{ name: `${prefix}.mlp.down_proj`, outputs: hiddenSize }], intermediateSize);
  }

  /** Root-mean-square norm over the last axis, computed from unrounded input. */
  #norm(input: string, weight: string, size: number): string {
    const scale = this.#parameter(this.#entry(weight, [size]));
    return this.#round(
      this.#graph.node('SimplifiedLayerNormalization', [input, scale], { axis: -1, epsilon: { float: this.#config.normEpsilon } }),
    );
  }

  /** One matrix product for projections that read the same input; a bias is added where the model has one. */
  #linear(input: string, parts: readonly { readonly name: string; readonly outputs: number }[], inputs: number): string {
    const graph = this.#graph;
    const matrices = parts.map(({ name, outputs }) => this.#parameter(this.#entry(`${name}.weight`, [outputs, inputs])));
    const matrix = matrices.length === 1 ? (matrices[0] ?? '') : graph.node('Concat', matrices, { axis: 0 });
    const product = graph.node('MatMul', [input, graph.node('Transpose', [matrix], { perm: [1, 0] })]);
    const withBias = parts.filter(({ name }) => this.#weights.tensors.has(`${name}.bias`));
    if (withBias.length === 0) return this.#round(product);
    const biases = parts.map(({ name, outputs }) => this.#parameter(this.#entry(`${name}.bias`, [outputs])));
    return this.#round(graph.node('Add', [product, biases.length === 1 ? (biases[0] ?? '') : graph.node('Concat', biases, { axis: 0 })]));
  }

  #split(value: string, sizes: readonly [number, number], axis: number): [string, string];
  #split(value: string, sizes: readonly [number, number, number], axis: number): [string, string, string];
  #split(value: string, sizes: readonly number[], axis: number): string[] {
    return this.#graph.nodes('Split', [value, this.#graph.integers(sizes)], sizes.length, { axis });
  }

  #reshape(value: string, shape: readonly number[]): string {
    return this.#graph.node('Reshape', [value, this.#graph.integers(shape)]);
  }

  /** What storing the value in the compute type would leave of it. */
  #round(value: string): string {
    return this.#config.computeType === 'float32' ? value : this.#cast(this.#cast(value, this.#config.computeType), 'float32');
  }

  #cast(value: string, type: ComputeType): string {
    return this.#graph.node('Cast', [value], { to: elementType[type] });
  }

  /** A stored tensor as float32, narrowed to the compute type first where the file is wider. The runtime folds this when it loads the graph. */
  #parameter(entry: TensorEntry): string {
    return this.#toFloat(this.#graph.stored(entry).name, entry);
  }

  #toFloat(value: string, entry: TensorEntry): string {
    const { type } = this.#graph.stored(entry);
    const narrowed =
      type === this.#config.computeType || this.#config.computeType === 'float32' ? value : this.#cast(value, this.#config.computeType);
    return narrowed === value && type === 'float32' ? value : this.#cast(narrowed, 'float32');
  }

  #entry(name: string, shape: readonly number[]): TensorEntry {
    const { folder, tensors } = this.#weights;
    const entry = tensors.get(name);
    if (!entry)
      throw new ModelError('MODEL_FILE_MISSING', folder, `the model has no tensor ${name}`, 'use a model folder with all its weights');
    if (entry.shape.join() !== shape.join()) {
      throw new ModelError(
        'MODEL_FILE_INVALID',
        folder,
        `tensor ${name} has shape [${entry.shape.join(', ')}], config.json says [${shape.join(', ')}]`,
        'download the model again',
      );
    }
    const weightsFolder = dirname(entry.file);
    this.#weightsFolder ??= weightsFolder;
    if (this.#weightsFolder !== weightsFolder) {
      throw new ModelError(
        'MODEL_UNSUPPORTED',
        folder,
        `its weights lie in ${this.#weightsFolder} and in ${weightsFolder}`,
        'put all safetensors files into one folder',
      );
    }
    return entry;
  }
}
