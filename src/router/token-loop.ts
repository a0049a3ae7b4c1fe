import { accept } from './accept.ts';
import { blockLength, initialRate, observeBlock } from './block-length.ts';
import type { Consultant } from './conversation.ts';
import type { LoopObserver } from './observer.ts';
import type { Slm } from './slm.ts';
import { noScorer, type Scorer, type Strategy } from './strategy.ts';
import type { EmittedToken, LoopEnd } from './token.ts';

export interface LoopInput {
  readonly prompt: readonly number[];
  /** Tokens to emit at most, at least 1. Prompt and output together fit both models' contexts. */
  readonly maxTokens: number;
  readonly maxDraftTokens: number;
  /** End tokens of both models. */
  readonly endIds: ReadonlySet<number>;
  readonly slm: Slm;
  readonly llm: Consultant;
  readonly observer: LoopObserver;
  readonly signal: AbortSignal;
}

type Tokens = AsyncGenerator<readonly EmittedToken[], LoopEnd, void>;

/**
 * Routes token by token, but works in blocks: draft on the SLM, score, accept up to the first divergent row, ask the LLM there.
 * Yields tokens as they become certain. What it yields is exactly what drafting one token at a time would give; block lengths,
 * retries and timing only change when.
 *
 * @throws ApiError when an engine fails for good, or the signal's reason
 */
export async function* routedTokens<State>(input: LoopInput, strategy: Strategy<State>, scorer: Scorer): Tokens {
  const { endIds, slm, llm, observer, signal } = input;
  const prefix = [...input.prompt];
  const end = prefix.length + input.maxTokens;
  let state = strategy.initial;
  let rate = initialRate;
  while (prefix.length < end) {
    const length = Math.min(blockLength(rate, input.maxDraftTokens), end - prefix.length);
    const drafted = await slm.draft(prefix, length, scorer, signal);
    const scores = await scorer.score(drafted);
    const rows = drafted.map(({ id }, index) => ({ id, score: scores[index] ?? Number.NaN }));
    let next = 0;
    let divergences = 0;
    while (next < rows.length) {
      const verdict = accept(strategy, state, rows, next, endIds);
      state = verdict.state;
      const accepted = rows.slice(next, next + verdict.accepted).map(({ id }): EmittedToken => ({ id, source: 'slm' }));
      next += verdict.accepted;
      prefix.push(...accepted.map(({ id }) => id));
      if (accepted.length > 0) yield accepted;
      if (verdict.ended) {
        observer.block(drafted.length, next);
        return 'stop';
      }
      const row = rows[next];
      if (!verdict.divergent || !row) break;
      divergences++;
      next++;
      const [answer] = await llm.continue(prefix, 1, signal);
      const token: EmittedToken = answer === undefined ? { id: row.id, source: 'fallback' } : { id: answer, source: 'llm' };
      prefix.push(token.id);
      yield [token];
      if (endIds.has(token.id)) {
        observer.block(drafted.length, next);
        return 'stop';
      }
      // The rows behind were drafted on exactly this prefix if both models agree; otherwise they are void.
      if (token.id !== row.id) break;
    }
    observer.block(drafted.length, next);
    rate = observeBlock(rate, next, divergences);
  }
  return 'length';
}

/**
 * Lets the LLM supply every token, in blocks. Where no LLM answers and the policy allows it, the SLM supplies one token as the stated
 * fallback, and the next block is the LLM's to try again.
 */
export async function* llmTokens(input: LoopInput): Tokens {
  const { endIds, slm, llm, signal } = input;
  const prefix = [...input.prompt];
  const end = prefix.length + input.maxTokens;
  while (prefix.length < end) {
    const block = await llm.continue(prefix, Math.min(input.maxDraftTokens, end - prefix.length), signal);
    const source = block.length > 0 ? 'llm' : 'fallback';
    const ids = block.length > 0 ? block : (await slm.draft(prefix, 1, noScorer, signal)).map(({ id }) => id);
    const last = ids.findIndex((id) => endIds.has(id));
    const tokens = (last < 0 ? ids : ids.slice(0, last + 1)).map((id): EmittedToken => ({ id, source }));
    prefix.push(...tokens.map(({ id }) => id));
    yield tokens;
    if (last >= 0) return 'stop';
  }
  return 'length';
}
