import { Tensor, type InferenceSession } from 'onnxruntime-node';
import { recoveryRows, type BundleInput } from './bundle-manifest.ts';
import { createNetworkSession } from './network-session.ts';
import { networkProbability } from './router-network/probability.ts';
import type { RowTable } from './row-table.ts';

/** A token drafted by the SLM and what the SLM's server told about its position. */
export interface CalibrationRow {
  readonly id: number;
  /** State after the final norm, [hiddenSize]. */
  readonly hidden: Float32Array;
  /** The best tokens, best first, at least five. */
  readonly topIds: ArrayLike<number>;
  /** Their log-probabilities. */
  readonly logprobs: ArrayLike<number>;
}

/** What a network is and what it looks at. */
export interface RunnableNetwork {
  /** Path of the .onnx file; its data lies beside it. */
  readonly model: string;
  readonly inputs: readonly BundleInput[];
  readonly classes: 0 | 1 | 3;
  readonly hiddenSize: number;
  readonly logitsSize: number;
}

export interface RowTables {
  readonly embedding: RowTable;
  readonly lmHead: RowTable;
}

export interface NetworkScores {
  /** Of each row, the probability that the token is divergent; NaN when a score is NaN. */
  readonly probabilities: Float64Array;
  /** Of each row, largest minus smallest of the five candidates for the constant of its logits; undefined when the network takes none. */
  readonly spreads: Float32Array | undefined;
}

/** A router network and the SLM's rows that it looks up, to be run on rows of which every one has all that it takes. */
export class NetworkRunner {
  readonly #session: InferenceSession;
  readonly #network: RunnableNetwork;
  readonly #tables: RowTables;

  private constructor(session: InferenceSession, network: RunnableNetwork, tables: RowTables) {
    this.#session = session;
    this.#network = network;
    this.#tables = tables;
  }

  /** The tables stay the caller's. @throws whatever ONNX Runtime says */
  static async open(network: RunnableNetwork, tables: RowTables): Promise<NetworkRunner> {
    return new NetworkRunner(await createNetworkSession(network.model), network, tables);
  }

  /** Each row's numbers do not depend on the others. @throws whatever ONNX Runtime or the tables say */
  async run(rows: readonly CalibrationRow[]): Promise<NetworkScores> {
    const { scores, spread } = await this.#session.run(this.#feeds(rows));
    const values = floats(scores);
    const probabilities = Float64Array.from(rows, (_, row) => networkProbability(values, row, this.#network.classes));
    return { probabilities, spreads: spread && floats(spread) };
  }

  close(): Promise<void> {
    return this.#session.release();
  }

  #feeds(rows: readonly CalibrationRow[]): Record<string, Tensor> {
    const { hiddenSize, logitsSize, inputs } = this.#network;
    const { embedding, lmHead } = this.#tables;
    const count = rows.length;
    const makers: Readonly<Record<BundleInput, () => Tensor>> = {
      hidden: () => {
        const values = new Float32Array(count * hiddenSize);
        for (const [row, { hidden }] of rows.entries()) values.set(hidden, row * hiddenSize);
        return new Tensor('float32', values, [count, hiddenSize]);
      },
      embedding: () => {
        const values = new Float32Array(count * embedding.width);
        embedding.gather(
          rows.map(({ id }) => id),
          values,
        );
        return new Tensor('float32', values, [count, embedding.width]);
      },
      logprobs: () => {
        const values = new Float32Array(count * logitsSize);
        for (const [row, { logprobs }] of rows.entries())
          for (let at = 0; at < logitsSize; at++) values[row * logitsSize + at] = logprobs[at] ?? Number.NEGATIVE_INFINITY;
        return new Tensor('float32', values, [count, logitsSize]);
      },
      lm_head: () => {
        const values = new Float32Array(count * recoveryRows * hiddenSize);
        const ids = rows.flatMap(({ topIds }) => Array.from({ length: recoveryRows }, (_, at) => topIds[at] ?? -1));
        lmHead.gather(ids, values);
        return new Tensor('float32', values, [count, recoveryRows, hiddenSize]);
      },
    };
    return Object.fromEntries(inputs.map((name) => [name, makers[name]()]));
  }
}

function floats(tensor: Tensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) throw new TypeError('the graph lacks a float output');
  return tensor.data;
}
