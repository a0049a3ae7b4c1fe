/** What is known about how far blocks hold. A snapshot: {@link observeToken} makes the next one. */
export interface AcceptanceRate {
  /** Moving average of the share of tokens that were divergent. */
  readonly divergentShare: number;
  /** The same of tokens that voided the rows drafted behind them: the LLM, or sampling, chose another one. */
  readonly brokenShare: number;
}

/** Before anything was seen: the published LLM share (11 to 15 % of tokens), half of them agreeing. */
export const initialRate: AcceptanceRate = { divergentShare: 0.126, brokenShare: 0.063 };

/** Weight of one token in the moving averages: a memory of some 32 tokens. */
const tokenWeight = 1 / 32;

/**
 * The block length with the fewest SLM steps per emitted token: `k + overhead` steps bring `(1 - (1-r)^k) / r` tokens, r being the share
 * of tokens behind which a block is of no use. Never changes what is emitted, only how fast.
 *
 * @param overheadSteps what a call costs besides its k steps, in steps
 */
export function blockLength(share: number, overheadSteps: number, max: number): number {
  const r = Math.min(Math.max(share, 1e-4), 1);
  let best = 1;
  let bestCost = Number.POSITIVE_INFINITY;
  for (let k = 1; k <= max; k++) {
    const cost = (k + overheadSteps) / ((1 - (1 - r) ** k) / r);
    if (cost < bestCost) [best, bestCost] = [k, cost];
  }
  return best;
}

export function observeToken({ divergentShare, brokenShare }: AcceptanceRate, divergent: boolean, broken: boolean): AcceptanceRate {
  return {
    divergentShare: divergentShare + tokenWeight * (Number(divergent) - divergentShare),
    brokenShare: brokenShare + tokenWeight * (Number(broken) - brokenShare),
  };
}
