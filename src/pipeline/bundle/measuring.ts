/** What a network's probabilities are worth on labelled rows: the trainer's arithmetic (trainer/r2r_trainer/scoring.py), on the same numbers. */

/** Probabilities of one network, and which of the rows are divergent (1) or not (0). */
export interface ScoredRows {
  readonly probabilities: Float64Array;
  readonly positive: Uint8Array;
}

export interface Figures {
  readonly threshold: number;
  /** Share of the divergent rows that go to the LLM. */
  readonly recall: number;
  /** Share of all rows that do. */
  readonly positiveRate: number;
}

/** A share of nothing is 0. */
export function measure({ probabilities, positive }: ScoredRows, threshold: number): Figures {
  let routed = 0;
  let found = 0;
  let positives = 0;
  for (const [row, probability] of probabilities.entries()) {
    const isPositive = positive[row] === 1;
    if (isPositive) positives++;
    if (probability < threshold) continue;
    routed++;
    if (isPositive) found++;
  }
  const share = (part: number, whole: number): number => (whole > 0 ? part / whole : 0);
  return { threshold, recall: share(found, positives), positiveRate: share(routed, probabilities.length) };
}

/**
 * The threshold of the lowest positive rate whose recall is at least `minRecall`; in the middle between the last probability that it lets through
 * and the next lower one. With a grid, the highest of that many candidates from 0.01 to 0.99 that is enough.
 *
 * @returns undefined when no row is positive, or no candidate is low enough
 */
export function chooseThreshold({ probabilities, positive }: ScoredRows, minRecall: number, grid = 0): number | undefined {
  const found = probabilities.filter((_, row) => positive[row] === 1).sort();
  let needed = Math.max(1, Math.floor(minRecall * found.length));
  while (needed < found.length && needed / found.length < minRecall) needed++;
  const last = found[found.length - needed];
  if (last === undefined) return undefined;
  if (grid > 0) return candidates(grid).findLast((candidate) => candidate <= last);
  let lower = 0;
  for (const probability of probabilities) if (probability < last && probability > lower) lower = probability;
  return (last + lower) / 2;
}

/** As numpy's linspace has them. */
function candidates(count: number): readonly number[] {
  const [lowest, highest] = [0.01, 0.99];
  const step = (highest - lowest) / (count - 1);
  return Array.from({ length: count }, (_, index) =>
    index > 0 && index === count - 1 ? highest : lowest + (count > 1 ? index * step : 0),
  );
}
