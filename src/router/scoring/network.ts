import { join } from 'node:path';
import { Tensor, type InferenceSession } from 'onnxruntime-node';
import { checkBundleFitsTables, openBundle, openBundleEmbedding, openSlmTables, type Bundle } from '../../model/bundle.ts';
import { recoveryRows, type BundleManifest } from '../../model/bundle-manifest.ts';
import { createNetworkSession } from '../../model/network-session.ts';
import { networkProbability } from '../../model/router-network/index.ts';
import type { RowTable } from '../../model/row-table.ts';
import { ScoringError } from './errors.ts';
import { numbersPerRow, type NetworkFacts, type NetworkOptions } from './messages.ts';
import type { RowBatch } from './row-batch.ts';
import { evidenceLogits, uncertaintyOf } from './uncertainty.ts';

/** A router network in ONNX Runtime, with the rows of the SLM that it looks up. Blocks its thread while it computes. */
export class Network {
  readonly facts: NetworkFacts;
  readonly #session: InferenceSession;
  readonly #manifest: BundleManifest;
  readonly #tables: Tables;
  /** Kept from run to run: 64 rows of five LM-head rows are megabytes. */
  #embeddingRows = new Float32Array();
  #lmHeadRows = new Float32Array();

  private constructor(session: InferenceSession, facts: NetworkFacts, tables: Tables) {
    this.#session = session;
    this.facts = facts;
    this.#manifest = facts.manifest;
    this.#tables = tables;
  }

  /** @throws ScoringError; BundleError or ModelError when bundle or SLM cannot be read, or do not fit */
  static async load(options: NetworkOptions): Promise<Network> {
    const startedAt = performance.now();
    const bundle = await openBundle(options.bundleFolder);
    const tables = await openTables(bundle, options.slmFolder);
    try {
      const session = await createSession(bundle, options);
      return new Network(session, { digest: bundle.digest, manifest: bundle.manifest, loadMs: performance.now() - startedAt }, tables);
    } catch (error) {
      await tables.close();
      throw error;
    }
  }

  /**
   * Computes {@link numbersPerRow} numbers a row, each row's independent of the others.
   *
   * @throws whatever ONNX Runtime or the row tables say
   */
  async score(batch: RowBatch): Promise<Float64Array<ArrayBuffer>> {
    const { rows } = batch;
    const { classes, logitsSize } = this.#manifest;
    const outputs = await this.#session.run(this.#inputs(batch));
    const scores = floats(outputs['scores']);
    const logits = floats(outputs['raw_logits']);
    const spread = floats(outputs['spread']);
    const numbers = new Float64Array(rows * numbersPerRow).fill(Number.NaN);
    for (let row = 0; row < rows; row++) {
      const at = row * numbersPerRow;
      if (scores) numbers[at] = networkProbability(scores, row, classes);
      if (logits && logitsSize >= evidenceLogits) {
        const { aleatoric, epistemic } = uncertaintyOf(logits.subarray(row * logitsSize, (row + 1) * logitsSize));
        numbers[at + 1] = aleatoric;
        numbers[at + 2] = epistemic;
      }
      if (spread) numbers[at + 3] = spread[row] ?? Number.NaN;
    }
    return numbers;
  }

  async close(): Promise<void> {
    await this.#session.release();
    await this.#tables.close();
  }

  #inputs({ rows, ids, hidden, logprobs, bestIds }: RowBatch): Record<string, Tensor> {
    const { hiddenSize, embeddingSize, logitsSize } = this.#manifest;
    const { embedding, lmHead } = this.#tables;
    const inputs: Record<string, Tensor> = {};
    if (hidden) inputs['hidden'] = new Tensor('float32', hidden, [rows, hiddenSize]);
    if (logprobs) inputs['logprobs'] = new Tensor('float32', logprobs, [rows, logitsSize]);
    if (ids && embedding) {
      this.#embeddingRows = withRoom(this.#embeddingRows, rows * embeddingSize);
      const values = this.#embeddingRows.subarray(0, rows * embeddingSize);
      embedding.gather(ids, values);
      inputs['embedding'] = new Tensor('float32', values, [rows, embeddingSize]);
    }
    if (bestIds && lmHead) {
      this.#lmHeadRows = withRoom(this.#lmHeadRows, rows * recoveryRows * hiddenSize);
      const values = this.#lmHeadRows.subarray(0, rows * recoveryRows * hiddenSize);
      lmHead.gather(bestIds, values);
      inputs['lm_head'] = new Tensor('float32', values, [rows, recoveryRows, hiddenSize]);
    }
    return inputs;
  }
}

interface Tables {
  readonly embedding: RowTable | undefined;
  readonly lmHead: RowTable | undefined;
  close(): Promise<void>;
}

/** The tables that the graph needs, of the SLM that the bundle was made for. */
async function openTables(bundle: Bundle, slmFolder: string): Promise<Tables> {
  const slm = await openSlmTables(slmFolder);
  const open = new Set([slm.embedding, slm.lmHead]);
  const closeAll = async (): Promise<void> => {
    await Promise.all([...open].map((table) => table.close()));
  };
  try {
    await checkBundleFitsTables(bundle, slm, slmFolder);
    const { inputs } = bundle.manifest;
    const embedding = inputs.includes('embedding') ? await openBundleEmbedding(bundle, slmFolder) : undefined;
    if (embedding) open.add(embedding);
    return { embedding, lmHead: inputs.includes('lm_head') ? slm.lmHead : undefined, close: closeAll };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function createSession({ folder, manifest }: Bundle, { precision, device, threads }: NetworkOptions): Promise<InferenceSession> {
  const graph = manifest.graphs[precision];
  if (!graph) {
    const there = Object.keys(manifest.graphs).join(', ');
    throw new ScoringError('precision_missing', `${folder} has no ${precision} graph, but ${there}; import the checkpoint again with it`);
  }
  // ONNX Runtime's CUDA provider lacks these matrix products, and would let the CPU do them without a word
  if (device === 'cuda' && precision === 'int8')
    throw new ScoringError('device_unavailable', 'a GPU does not compute in int8; set router.precision to fp32');
  try {
    return await createNetworkSession(join(folder, graph.model.name), { device, threads });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw device === 'cuda'
      ? new ScoringError('device_unavailable', `the router network cannot run on a GPU (${reason}); set router.device to cpu`, { cause })
      : new ScoringError('network_unloadable', `ONNX Runtime cannot load ${join(folder, graph.model.name)}: ${reason}`, { cause });
  }
}

function withRoom(values: Float32Array<ArrayBuffer>, length: number): Float32Array<ArrayBuffer> {
  return values.length >= length ? values : new Float32Array(length);
}

function floats(tensor: Tensor | undefined): Float32Array | undefined {
  return tensor?.data instanceof Float32Array ? tensor.data : undefined;
}
