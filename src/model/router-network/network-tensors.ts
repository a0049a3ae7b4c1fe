import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { NetworkError } from './errors.ts';
import type { NetworkConfig } from './network-config.ts';

/** y = W x + b; `weight` is [outputs, inputs], row-major. */
export interface Linear<Values = Float32Array> {
  readonly outputs: number;
  readonly inputs: number;
  readonly weight: Values;
  readonly bias: Values;
}

export interface Norm {
  readonly scale: Float32Array;
  readonly shift: Float32Array;
}

/** The network's own copy of the SLM's input embedding: upstream leaves it out of the smaller of the two files it saves. */
export const embeddingTensor = 'token_embeddings.weight';
const positionTensor = 'backbone.position_embedding';

/** A checkpoint's tensors, of which names and shapes have been checked against the class and its arguments. */
export class NetworkTensors {
  readonly #tensors: Checkpoint['tensors'];

  /** @throws NetworkError naming the tensor and the shape it should have */
  constructor(config: NetworkConfig, tensors: Checkpoint['tensors'], embeddingSize: number) {
    this.#tensors = tensors;
    const expected = expectedShapes(config, tensors, embeddingSize);
    const refuse = (code: NetworkError['code'], tensor: string, problem: string) => {
      const fix = 'the checkpoint must hold the weights of its class and arguments';
      throw new NetworkError(code, config.name, `tensor ${tensor} ${problem}`, fix, tensor);
    };
    for (const [name, shape] of expected) {
      const tensor = tensors.get(name);
      if (!tensor) refuse('NETWORK_TENSOR_MISSING', name, `is missing; it should be [${shape.join(', ')}]`);
      else if (tensor.shape.join() !== shape.join())
        refuse('NETWORK_TENSOR_SHAPE', name, `is [${tensor.shape.join(', ')}] and should be [${shape.join(', ')}]`);
    }
    const vocabulary = expected.get('lm_head.bias')?.[0] ?? 0;
    if (config.topK !== null && config.topK > vocabulary)
      refuse('NETWORK_TENSOR_SHAPE', 'lm_head.weight', `has ${vocabulary} outputs, of which topk cannot be ${config.topK}`);
    const optional = new Set<string>(config.kind.unused);
    if (config.kind.features.includes('embedding')) optional.add(embeddingTensor);
    for (const name of tensors.keys())
      if (!expected.has(name) && !optional.has(name)) refuse('NETWORK_TENSOR_UNEXPECTED', name, 'is not one of this class');
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** Trained parameters: all but copies of the SLM's embedding and tables that follow from the arguments. */
  get parameters(): number {
    return [...this.#tensors]
      .filter(([name]) => name !== embeddingTensor && name !== positionTensor)
      .reduce((sum, [, { shape }]) => sum + shape.reduce((product, size) => product * size, 1), 0);
  }

  async linear(name: string): Promise<Linear> {
    const [outputs = 0, inputs = 0] = this.#tensors.get(`${name}.weight`)?.shape ?? [];
    return { outputs, inputs, weight: await this.#read(`${name}.weight`), bias: await this.#read(`${name}.bias`) };
  }

  async norm(name: string): Promise<Norm> {
    return { scale: await this.#read(`${name}.weight`), shift: await this.#read(`${name}.bias`) };
  }

  /** The position embedding of position 0: a router always judges one token at a time, so it is a constant. */
  async firstPosition(size: number): Promise<Float32Array> {
    return (await this.#read(positionTensor)).subarray(0, size);
  }

  #read(name: string): Promise<Float32Array> {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new RangeError(`no tensor ${name}`);
    return tensor.read();
  }
}

type Shapes = Map<string, readonly number[]>;

function addLinear(shapes: Shapes, name: string, outputs: number, inputs: number): void {
  shapes.set(`${name}.weight`, [outputs, inputs]).set(`${name}.bias`, [outputs]);
}

function addNorm(shapes: Shapes, name: string, size: number): void {
  shapes.set(`${name}.weight`, [size]).set(`${name}.bias`, [size]);
}

function expectedShapes(config: NetworkConfig, tensors: Checkpoint['tensors'], embeddingSize: number): Shapes {
  const { kind, hiddenDims, expansionFactor } = config;
  const shapes: Shapes = new Map();
  const [firstDim = 0] = hiddenDims;
  const lastDim = hiddenDims.at(-1) ?? 0;
  const hidden = (config.hiddenSize ?? 0) * config.window;
  const logits = (config.logitsSize ?? 0) * config.window;

  let width: number;
  if (kind.entry === 'logits_projection') width = logits;
  else if (kind.entry === 'hidden_states_projection') width = hidden;
  else if (kind.entry === 'post_lm_projection') {
    const vocabulary = tensors.get('lm_head.weight')?.shape[0] ?? 0;
    addLinear(shapes, 'lm_head', vocabulary, hidden);
    width = config.topK ?? vocabulary;
  } else {
    if (kind.features.includes('logits')) addLinear(shapes, 'logits_projection', hidden, logits);
    width = kind.features.reduce((sum, feature) => sum + (feature === 'embedding' ? embeddingSize : hidden), 0);
  }
  addLinear(shapes, kind.entry, firstDim, width);
  if (config.normalizeInput) {
    for (const [feature, name] of normNames(config)) addNorm(shapes, name, feature === 'embedding' ? (config.hiddenSize ?? 0) : hidden);
  }

  if (config.positions > 0) shapes.set(positionTensor, [config.positions, firstDim]);
  addLinear(shapes, 'backbone.input_projection', firstDim, firstDim);
  for (const [index, input] of hiddenDims.entries()) {
    const output = hiddenDims[index + 1] ?? input;
    const block = `backbone.blocks.${index}`;
    addNorm(shapes, `${block}.layer_norm`, input);
    addLinear(shapes, `${block}.mlp.0`, input * expansionFactor, input);
    addLinear(shapes, `${block}.mlp.3`, output, input * expansionFactor);
    if (output !== input) addLinear(shapes, `${block}.dim_change`, output, input);
  }
  addNorm(shapes, 'backbone.output_layer.0', lastDim);
  addLinear(shapes, 'backbone.output_layer.1', config.classes, lastDim);
  return shapes;
}

/** With `normalize_input`: the norms of hidden state and embedding, by feature. Logits get a softmax instead. */
export function normNames({ kind }: NetworkConfig): ReadonlyMap<'hidden' | 'embedding', string> {
  const names = new Map<'hidden' | 'embedding', string>();
  const several = kind.entry === 'combined_projection';
  if (kind.features.includes('hidden')) names.set('hidden', several ? 'layer_norm_hidden_states' : 'layer_norm');
  if (kind.features.includes('embedding')) names.set('embedding', 'layer_norm_token');
  return names;
}
