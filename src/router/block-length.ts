/** What is known about how far blocks are accepted. A snapshot: {@link observeBlock} makes the next one. */
export interface AcceptanceRate {
  /** Moving average of the share of drafted tokens looked at that were divergent. */
  readonly divergentShare: number;
}

/** Before anything was seen: the published LLM share (facts: 11 to 15 % of tokens). */
export const initialRate: AcceptanceRate = { divergentShare: 0.126 };

/** One call to the SLM costs about this many of its decode steps on top (HTTP, scheduling, extending the prefix by one). */
const callOverheadSteps = 1;
/** Weight of one looked-at token in the moving average: a memory of some 32 tokens. */
const tokenWeight = 1 / 32;

/**
 * The block length with the fewest SLM steps per emitted token: `k + overhead` steps bring `(1 - (1-r)^k) / r` tokens, r being the
 * divergent share. Never changes what is emitted, only how fast.
 */
export function blockLength(rate: AcceptanceRate, max: number): number {
  const r = Math.min(Math.max(rate.divergentShare, 1e-4), 1);
  let best = 1;
  let bestCost = Number.POSITIVE_INFINITY;
  for (let k = 1; k <= max; k++) {
    const cost = (k + callOverheadSteps) / ((1 - (1 - r) ** k) / r);
    if (cost < bestCost) [best, bestCost] = [k, cost];
  }
  return best;
}

/** @param looked rows that the strategy decided on  @param divergent how many of them were divergent */
export function observeBlock(rate: AcceptanceRate, looked: number, divergent: number): AcceptanceRate {
  if (looked === 0) return rate;
  const kept = (1 - tokenWeight) ** looked;
  return { divergentShare: kept * rate.divergentShare + (1 - kept) * (divergent / looked) };
}
