import { entropy } from '../../src/router/entropy.ts';
import type { GeneratedToken, SglangClient } from '../../src/sglang/index.ts';
import type { Piece } from '../router/chat-client.ts';

/**
 * What bfloat16 arithmetic explains. A logit between 8 and 32 has a spacing of 0.0625 to 0.125, and batching or caching may round each of two
 * logits the other way; entropies move less than that, since every logit carries weight below one.
 */
export const margins = { logprob: 0.25, entropyNats: 0.1 };

/** A position at which the router's token is not the one that the servers give when asked for this one token. */
export interface Difference {
  readonly position: number;
  /** Distance of the two best log-probabilities, or of score and threshold: whichever explains the difference. */
  readonly explainedBy: string | undefined;
  readonly router: Piece;
  readonly expected: { readonly id: number; readonly source: string };
}

/**
 * Judges a routed answer position by position: with the router's own tokens as prefix, asks both servers for one token each and decides as
 * one-token-at-a-time routing would.
 */
export async function differences(
  servers: { readonly slm: SglangClient; readonly llm: SglangClient },
  prompt: readonly number[],
  answer: readonly Piece[],
  threshold: number,
): Promise<readonly Difference[]> {
  const found: Difference[] = [];
  for (const [position, router] of answer.entries()) {
    const ids = [...prompt, ...answer.slice(0, position).map(({ id }) => id)];
    const drafted = await one(servers.slm, ids);
    const score = entropy(drafted.top);
    const divergent = score >= threshold;
    const supplied = divergent || router.source === 'llm' ? await one(servers.llm, ids) : drafted;
    const expected = divergent ? { id: supplied.id, source: 'llm' } : { id: drafted.id, source: 'slm' };
    if (router.id === expected.id && router.source === expected.source) continue;
    const near: string[] = [];
    const gap = router.source === expected.source ? gapTo(divergent ? supplied : drafted, router.id) : undefined;
    if (gap !== undefined && gap <= margins.logprob) near.push(`log-probabilities ${gap.toFixed(3)} apart`);
    const otherSide = router.source === 'llm' ? supplied : drafted;
    const distance = Math.abs(score - threshold);
    if (
      router.source !== expected.source &&
      distance <= margins.entropyNats &&
      (gapTo(otherSide, router.id) ?? Infinity) <= margins.logprob
    )
      near.push(`entropy ${distance.toFixed(4)} from the threshold`);
    found.push({ position, router, expected, explainedBy: near[0] });
  }
  return found;
}

async function one(server: SglangClient, ids: readonly number[]): Promise<Required<Pick<GeneratedToken, 'id' | 'top'>>> {
  const { tokens } = await server.generate({ ids, maxNewTokens: 1, topLogprobs: 100, timeoutMs: 60_000 });
  const [token] = tokens;
  if (!token?.top) throw new Error(`${server.url} gave no token`);
  return { id: token.id, top: token.top };
}

/** How far below the best entry a token lies; undefined when it is not among those returned. */
function gapTo(token: Pick<GeneratedToken, 'top'>, id: number): number | undefined {
  const index = token.top?.ids.indexOf(id) ?? -1;
  const [best, own] = [token.top?.logprobs[0], token.top?.logprobs[index]];
  return index < 0 || best === undefined || own === undefined ? undefined : best - own;
}
