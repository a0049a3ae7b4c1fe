import type { TopLogprobs } from '../sglang/index.ts';

/**
 * Entropy in nats of a distribution known by its best entries; all remaining mass counts as one more entry.
 *
 * @param top natural log-probabilities over the full vocabulary
 */
export function entropy(top: TopLogprobs): number {
  let total = 0;
  let mass = 0;
  for (const logprob of top.logprobs) {
    if (logprob === Number.NEGATIVE_INFINITY) continue;
    const probability = Math.exp(logprob);
    mass += probability;
    total -= probability * logprob;
  }
  const rest = 1 - mass;
  return rest > 0 ? total - rest * Math.log(rest) : total;
}
