/*
 * Upstream's uncertainties and probabilities are float32 tensors, and comparing one with a Python number rounds that number too. Doing the
 * same makes every decision upstream's, also for a value that lies on the threshold.
 */

/** @returns false when either is not a number */
export function isBelow(value: number, threshold: number): boolean {
  return Math.fround(value) < Math.fround(threshold);
}

/** Summed in order, rounding after each step; NaN of nothing. */
export function mean(values: readonly number[]): number {
  const sum = values.reduce((total, value) => Math.fround(total + Math.fround(value)), 0);
  return Math.fround(sum / values.length);
}
