import { InferenceSession, Tensor } from 'onnxruntime-node';
import { buildDecoderGraph } from '../model/decoder-graph.ts';
import { ModelError } from '../model/errors.ts';
import type { ModelConfig } from '../model/model-config.ts';
import type { Weights } from '../model/safetensors.ts';
import { AttentionMasks } from './attention-masks.ts';
import { RotaryTable } from './rotary-table.ts';

/** Prompt tokens computed in one run of the graph: bounds the memory of the attention scores (heads x this x context floats). */
const tokensPerRun = 256;

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
  readonly #masks = new AttentionMasks();

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

  async forward(pass: ForwardPass): Promise<Float32Array> {
    const { ids, pastSlots, newSlots, firstLogitsRow, onLogits } = pass;
    const length = pastSlots.length + ids.length;
    if (ids.length <= tokensPerRun) return this.#run(pass, length);
    const hidden = new Float32Array(ids.length * this.hiddenSize);
    const slots = new Int32Array(length);
    slots.set(pastSlots);
    slots.set(newSlots, pastSlots.length);
    for (let start = 0; start < ids.length; start += tokensPerRun) {
      const end = Math.min(start + tokensPerRun, ids.length);
      const part = {
        ids: ids.subarray(start, end),
        pastSlots: slots.subarray(0, pastSlots.length + start),
        newSlots: newSlots.subarray(start, end),
        firstLogitsRow: Math.min(Math.max(firstLogitsRow - start, 0), end - start),
        onLogits: (row: number, logits: Float32Array) => onLogits(start + row, logits),
      };
      hidden.set(await this.#run(part, length), start * this.hiddenSize);
    }
    return hidden;
  }

  async #run({ ids, pastSlots, newSlots, firstLogitsRow, onLogits }: ForwardPass, sequenceLength: number): Promise<Float32Array> {
    const { headSize, computeType } = this.#config;
    const past = pastSlots.length;
    const count = ids.length;
    const { cos, sin } = this.#rotary.rows(past, count);
    const scores = [count, past + count];
    const rows = Int32Array.from({ length: count - firstLogitsRow }, (_, row) => firstLogitsRow + row);
    const outputs = await this.#session.run({
      ...this.#poolTensors,
      ids: new Tensor('int32', ids, [count]),
      cos: new Tensor('float32', cos, [count, 1, headSize]),
      sin: new Tensor('float32', sin, [count, 1, headSize]),
      mask: new Tensor('float32', this.#masks.visibility(count, past), scores),
      ...(computeType !== 'float32' && { vectorized: new Tensor('bool', this.#masks.vectorized(count, past, sequenceLength), scores) }),
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
}

function floats(tensor: Tensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) throw new TypeError('the decoder graph lacks a float output');
  return tensor.data;
}
