/** The networks of a bundle run on real rows: how decisions of a lower precision differ from fp32's. */
import { BundleError } from './bundle-errors.ts';
import { recoveryRows } from './bundle-manifest.ts';
import { NetworkRunner, type CalibrationRow, type RowTables, type RunnableNetwork } from './network-runner.ts';

export type { CalibrationRow } from './network-runner.ts';

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
  let runner: NetworkRunner | undefined;
  try {
    runner = await NetworkRunner.open(network, tables);
    for (let first = 0; first < rows.length; first += batchRows) {
      signal?.throwIfAborted();
      const { probabilities: some, spreads } = await runner.run(rows.slice(first, first + batchRows));
      probabilities.set(some, first);
      if (spreads) maxSpread = spreads.reduce((most, value) => Math.max(most, value), maxSpread ?? 0);
    }
    if (probabilities.some(Number.isNaN)) throw new RangeError('it gives scores that are no numbers');
  } catch (cause) {
    if (signal?.aborted) throw cause;
    const problem = `the network cannot be run on calibration rows (${cause instanceof Error ? cause.message : String(cause)})`;
    throw new BundleError('BUNDLE_CALIBRATION_FAILED', network.model, problem, 'report it with the checkpoint', cause);
  } finally {
    await runner?.close();
  }
  return { probabilities, maxSpread };
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
