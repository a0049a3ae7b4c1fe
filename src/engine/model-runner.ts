import { InferenceSession, Tensor } from 'onnxruntime-node';
import { buildDecoderGraph } from '../model/decoder-graph.ts';
import { ModelError } from '../model/errors.ts';
import type { ModelConfig } from '../model/model-config.ts';
import type { Weights } from '../model/safetensors.ts';
import { RotaryTable } from './rotary-table.ts';

/** Prompt tokens computed in one run of the graph: bounds the memory of the attention scores (heads x this x context floats). */
const tokensPerRun = 256;
const masked = -1e30;

export interface ForwardPass {
  /** New tokens, at least one. */
  readonly ids: Int32Array;
  /** Pool slots of the tokens before them, in order. */
  readonly pastSlots: Int32Array;
  /** Pool slots that the new tokens get. */
  readonly newSlots: Int32Array;
  /** First of the new tokens whose logits are wanted; those of all after it come too. */
  readonly firstLogitsRow: number;
  /** Gets the logits of each wanted row in order ([vocabulary], the callee may change them): all at once would not fit for long prompts. */
  readonly onLogits: (row: number, logits: Float32Array) => void;
}

/** Computes forward passes of one sequence at a time; keys and values live in a pool of slots, one slot a token. */
export interface ModelRunner {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Returns the hidden states after the final norm, [new tokens, hidden size]. Throws when the runtime fails. */
  forward(pass: ForwardPass): Promise<Float32Array>;
}

export interface RunnerOptions {
  /** Slots of the key-value pool. */
  readonly poolTokens: number;
  /** Threads one run may use. */
  readonly threads: number;
}

/** Bytes of keys and values one token takes. */
export function bytesPerToken(config: ModelConfig): number {
  return config.layerCount * 2 * config.keyValueHeadCount * config.headSize * Float32Array.BYTES_PER_ELEMENT;
}

/** Loads the model into ONNX Runtime. Throws `ModelError` when the runtime refuses it. */
export async function createModelRunner(config: ModelConfig, weights: Weights, options: RunnerOptions): Promise<ModelRunner> {
  const graph = buildDecoderGraph(config, weights);
  let session: InferenceSession;
  try {
    session = await InferenceSession.create(graph.bytes, {
      intraOpNumThreads: options.threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
      extra: { session: { model_external_initializers_file_folder_path: graph.weightsFolder, intra_op: { allow_spinning: '0' } } },
    });
  } catch (cause) {
    throw new ModelError(
      'MODEL_UNSUPPORTED',
      weights.folder,
      `ONNX Runtime cannot load the model (${String(cause)})`,
      'check that the weights are whole and fit into memory',
      cause,
    );
  }
  return new OnnxRunner(config, session, options.poolTokens);
}

class OnnxRunner implements ModelRunner {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly #config: ModelConfig;
  readonly #session: InferenceSession;
  readonly #rotary: RotaryTable;
  readonly #poolWidth: number;
  readonly #pools: readonly Float32Array[];
  readonly #poolTensors: Readonly<Record<string, Tensor>>;
  #zeros = new Float32Array(1024);

  constructor(config: ModelConfig, session: InferenceSession, poolTokens: number) {
    this.#config = config;
    this.#session = session;
    this.vocabSize = config.vocabSize;
    this.hiddenSize = config.hiddenSize;
    this.#rotary = new RotaryTable(config);
    this.#poolWidth = 2 * config.keyValueHeadCount * config.headSize;
    this.#pools = Array.from({ length: config.layerCount }, () => new Float32Array(poolTokens * this.#poolWidth));
    this.#poolTensors = Object.fromEntries(
      this.#pools.map((pool, layer) => [`pool_${layer}`, new Tensor('float32', pool, [poolTokens, this.#poolWidth])]),
    );
  }

  async forward({ ids, pastSlots, newSlots, firstLogitsRow, onLogits }: ForwardPass): Promise<Float32Array> {
    if (ids.length <= tokensPerRun) return this.#run(ids, pastSlots, newSlots, firstLogitsRow, onLogits);
    const hidden = new Float32Array(ids.length * this.hiddenSize);
    const slots = new Int32Array(pastSlots.length + newSlots.length);
    slots.set(pastSlots);
    slots.set(newSlots, pastSlots.length);
    for (let start = 0; start < ids.length; start += tokensPerRun) {
      const end = Math.min(start + tokensPerRun, ids.length);
      const firstRow = Math.min(Math.max(firstLogitsRow - start, 0), end - start);
      const past = slots.subarray(0, pastSlots.length + start);
      const part = await this.#run(ids.subarray(start, end), past, newSlots.subarray(start, end), firstRow, (row, logits) =>
        onLogits(start + row, logits),
      );
      hidden.set(part, start * this.hiddenSize);
    }
    return hidden;
  }

  async #run(
    ids: Int32Array,
    pastSlots: Int32Array,
    newSlots: Int32Array,
    firstLogitsRow: number,
    onLogits: ForwardPass['onLogits'],
  ): Promise<Float32Array> {
    const past = pastSlots.length;
    const count = ids.length;
    const { cos, sin } = this.#rotary.rows(past, count);
    const rotaryShape = [count, 1, this.#config.headSize];
    const rows = Int32Array.from({ length: count - firstLogitsRow }, (_, row) => firstLogitsRow + row);
    const outputs = await this.#session.run({
      ...this.#poolTensors,
      ids: new Tensor('int32', ids, [count]),
      cos: new Tensor('float32', cos, rotaryShape),
      sin: new Tensor('float32', sin, rotaryShape),
      mask: new Tensor('float32', this.#mask(count, past), [count, past + count]),
      slots: new Tensor('int32', pastSlots, [past]),
      rows: new Tensor('int32', rows, [rows.length]),
    });
    const width = this.#poolWidth;
    for (const [layer, pool] of this.#pools.entries()) {
      const added = floats(outputs[`new_${layer}`]);
      for (let row = 0; row < count; row++) pool.set(added.subarray(row * width, (row + 1) * width), (newSlots[row] ?? 0) * width);
    }
    const logits = floats(outputs['logits']);
    for (const [index, row] of rows.entries()) onLogits(row, logits.subarray(index * this.vocabSize, (index + 1) * this.vocabSize));
    return floats(outputs['hidden']);
  }

  /** A token sees all earlier ones and itself; one token alone sees everything. */
  #mask(count: number, past: number): Float32Array {
    const width = past + count;
    if (count === 1) {
      if (width > this.#zeros.length) this.#zeros = new Float32Array(2 * width);
      return this.#zeros.subarray(0, width);
    }
    const mask = new Float32Array(count * width);
    for (let row = 0; row < count; row++) mask.fill(masked, row * width + past + row + 1, (row + 1) * width);
    return mask;
  }
}

function floats(tensor: Tensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) throw new TypeError('the decoder graph lacks a float output');
  return tensor.data;
}
