/** The coefficients B(2k) / 2k of the asymptotic series, k = 1 to 8. */
const series = [1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32_760, 1 / 12, -3617 / 8160];

/** Where the series is exact to the last bits of float64: its first omitted term is below 1e-17. */
const seriesFrom = 10;

/**
 * The digamma function, derivative of ln Gamma, with PyTorch's values at its poles: NaN at the negative integers, -Infinity at +0. Within
 * 1e-12 (absolute or relative, whichever is larger) of the true value.
 */
export function digamma(x: number): number {
  if (x === 0) return Object.is(x, -0) ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  if (x < 0) {
    if (Number.isInteger(x) || x === Number.NEGATIVE_INFINITY) return Number.NaN;
    // the reflection formula; the fraction alone keeps the tangent exact for large arguments
    return digamma(1 - x) - Math.PI / Math.tan(Math.PI * (x % 1));
  }
  let shifted = x;
  let sum = 0;
  for (; shifted < seriesFrom; shifted++) sum -= 1 / shifted;
  const square = 1 / (shifted * shifted);
  let tail = 0;
  for (const coefficient of series.toReversed()) tail = (tail + coefficient) * square;
  return sum + Math.log(shifted) - 0.5 / shifted - tail;
}
