/**
 * The probability that a row's token is divergent, from the graph's `scores` [B, classes] (upstream's rule, r2r/utils/switching.py): the sigmoid of the
 * one score, or the last of a softmax over three. In float64, so that neither batch nor processor can change a bit of it. NaN when a score is NaN.
 */
export function networkProbability(scores: Float32Array, row: number, classes: number): number {
  if (classes === 1) return 1 / (1 + Math.exp(-(scores[row] ?? Number.NaN)));
  const own = scores.subarray(row * classes, (row + 1) * classes);
  const last = own[classes - 1] ?? Number.NaN;
  let sum = 0;
  for (const score of own) sum += Math.exp(score - last);
  return 1 / sum;
}
