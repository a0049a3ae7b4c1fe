/** The networks of a bundle run on real rows: how decisions of a lower precision differ from fp32's. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { BundleError } from './bundle-errors.ts';
import { recoveryRows, type BundleInput } from './bundle-manifest.ts';
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

export interface NetworkAnswers {
  /** Of each row, the probability that the token is divergent. */
  readonly probabilities: Float64Array;
  /** Largest spread of the five candidates for a row's constant of the logits; null when the network takes none. */
  readonly maxSpread: number | null;
}

export interface PrecisionComparison {
  readonly rows: number;
  readonly threshold: number;
  readonly changed: number;
  readonly maxDifference: number;
  readonly meanDifference: number;
}

const batchRows = 32;

/**
 * Reads the rows, checking each against the network's shapes.
 *
 * @throws BundleError `BUNDLE_CALIBRATION_FAILED` naming the row and what is wrong with it
 */
export async function readCalibration(
  rows: Iterable<CalibrationRow> | AsyncIterable<CalibrationRow>,
  { hiddenSize, logitsSize }: Pick<RunnableNetwork, 'hiddenSize' | 'logitsSize'>,
  path: string,
  signal?: AbortSignal,
): Promise<readonly CalibrationRow[]> {
  const read: CalibrationRow[] = [];
  const least = Math.max(logitsSize, recoveryRows);
  for await (const row of rows) {
    signal?.throwIfAborted();
    const refuse = (problem: string): never => {
      const fix = 'take the rows from a server of the SLM that the bundle is made for';
      throw new BundleError('BUNDLE_CALIBRATION_FAILED', path, `calibration row ${read.length}: ${problem}`, fix);
    };
    if (row.hidden.length !== hiddenSize) refuse(`its hidden state has ${row.hidden.length} values, the SLM's have ${hiddenSize}`);
    if (row.topIds.length < least || row.logprobs.length < least)
      refuse(`it has ${Math.min(row.topIds.length, row.logprobs.length)} log-probabilities, the network takes ${least}`);
    read.push(row);
  }
  return read;
}

/** Runs a network over the rows, some at a time. @throws BundleError `BUNDLE_CALIBRATION_FAILED`; the signal's reason */
export async function runNetwork(
  network: RunnableNetwork,
  rows: readonly CalibrationRow[],
  tables: RowTables,
  signal?: AbortSignal,
): Promise<NetworkAnswers> {
  const probabilities = new Float64Array(rows.length);
  let maxSpread: number | null = null;
  let session: InferenceSession | undefined;
  try {
    session = await InferenceSession.create(network.model, { executionProviders: ['cpu'], intraOpNumThreads: 1, interOpNumThreads: 1 });
    for (let first = 0; first < rows.length; first += batchRows) {
      signal?.throwIfAborted();
      const batch = rows.slice(first, first + batchRows);
      const { scores, spread } = await session.run(feedsOf(network, batch, tables));
      const values = floats(scores);
      for (let row = 0; row < batch.length; row++) probabilities[first + row] = networkProbability(values, row, network.classes);
      if (spread) maxSpread = floats(spread).reduce((most, value) => Math.max(most, value), maxSpread ?? 0);
    }
    if (probabilities.some(Number.isNaN)) throw new RangeError('it gives scores that are no numbers');
  } catch (cause) {
    if (signal?.aborted) throw cause;
    const problem = `the network cannot be run on calibration rows (${cause instanceof Error ? cause.message : String(cause)})`;
    throw new BundleError('BUNDLE_CALIBRATION_FAILED', network.model, problem, 'report it with the checkpoint', cause);
  } finally {
    await session?.release();
  }
  return { probabilities, maxSpread };
}

function feedsOf(network: RunnableNetwork, batch: readonly CalibrationRow[], { embedding, lmHead }: RowTables): Record<string, Tensor> {
  const { hiddenSize, logitsSize } = network;
  const count = batch.length;
  const makers: Readonly<Record<BundleInput, () => Tensor>> = {
    hidden: () => {
      const values = new Float32Array(count * hiddenSize);
      for (const [row, { hidden }] of batch.entries()) values.set(hidden, row * hiddenSize);
      return new Tensor('float32', values, [count, hiddenSize]);
    },
    embedding: () => {
      const values = new Float32Array(count * embedding.width);
      embedding.gather(
        batch.map(({ id }) => id),
        values,
      );
      return new Tensor('float32', values, [count, embedding.width]);
    },
    logprobs: () => {
      const values = new Float32Array(count * logitsSize);
      for (const [row, { logprobs }] of batch.entries())
        for (let at = 0; at < logitsSize; at++) values[row * logitsSize + at] = logprobs[at] ?? Number.NEGATIVE_INFINITY;
      return new Tensor('float32', values, [count, logitsSize]);
    },
    lm_head: () => {
      const values = new Float32Array(count * recoveryRows * hiddenSize);
      const ids = batch.flatMap(({ topIds }) => Array.from({ length: recoveryRows }, (_, at) => topIds[at] ?? -1));
      lmHead.gather(ids, values);
      return new Tensor('float32', values, [count, recoveryRows, hiddenSize]);
    },
  };
  return Object.fromEntries(network.inputs.map((name) => [name, makers[name]()]));
}

function floats(tensor: Tensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) throw new TypeError('the graph lacks a float output');
  return tensor.data;
}

/** Compares a precision's probabilities with fp32's. A row is divergent from the threshold on. */
export function compareProbabilities(exact: Float64Array, other: Float64Array, threshold: number): PrecisionComparison {
  let changed = 0;
  let maxDifference = 0;
  let sum = 0;
  for (const [row, expected] of exact.entries()) {
    const found = other[row] ?? Number.NaN;
    const difference = Math.abs(found - expected);
    if (found >= threshold !== expected >= threshold) changed++;
    maxDifference = Math.max(maxDifference, difference);
    sum += difference;
  }
  return { rows: exact.length, threshold, changed, maxDifference, meanDifference: exact.length > 0 ? sum / exact.length : 0 };
}
