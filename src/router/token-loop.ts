import type { GeneratedToken } from '../sglang/index.ts';
import type { Consultant } from './conversation.ts';
import type { LoopObserver } from './observer.ts';
import { Pipeline } from './pipeline.ts';
import type { Sampler } from './sampler.ts';
import type { Scorer } from './scoring/signals.ts';
import type { Slm } from './slm.ts';
import type { Strategy } from './strategy.ts';
import type { EmittedToken, LoopEnd } from './token.ts';

/** What the SLM does while the LLM is asked: nothing; draft on as if the LLM agreed; and ask the LLM at later divergent tokens, too. */
export type Lookahead = 'Off' | 'Single' | 'Nested';

/** Entries of an emitted token's distribution, where it is kept: OpenAI's API lets clients ask for 20. */
const keptLogprobs = 20;

/** Entries of each distribution that choosing and telling a token take; the LLM is asked for no more. */
export function askedLogprobs({ topLogprobs }: Pick<Sampler, 'topLogprobs'>, keepTop: boolean): number {
  return Math.max(topLogprobs, keepTop ? keptLogprobs : 0);
}

export interface LoopInput {
  readonly prompt: readonly number[];
  /** Tokens to emit at most, at least 1. Prompt and output together fit both models' contexts. */
  readonly maxTokens: number;
  readonly maxDraftTokens: number;
  /** End tokens of both models. */
  readonly endIds: ReadonlySet<number>;
  readonly slm: Pick<Slm, 'draft' | 'overheadSteps' | 'busy'>;
  readonly llm: Consultant;
  /** `llm`: the LLM supplies every token. */
  readonly strategy: Strategy | 'llm';
  readonly scorer: Scorer;
  readonly sampler: Sampler;
  /** Emit each token's distribution with it, at least its {@link keptLogprobs} best entries. */
  readonly keepTop: boolean;
  readonly lookahead: Lookahead;
  /** LLM calls that may be under way at once, the one that is waited for included: bounds the work wasted by asking ahead. */
  readonly maxLookaheadCalls: number;
  readonly observer: LoopObserver;
  readonly signal: AbortSignal;
}

type Tokens = AsyncGenerator<readonly EmittedToken[], LoopEnd, void>;

/**
 * Routes token by token, but works in blocks and ahead of the LLM's answers. Yields tokens as they become certain. What it yields is
 * exactly what drafting, deciding and asking one token at a time would give; block lengths, look-ahead, retries and timing only change when.
 *
 * @throws ApiError when an engine fails for good, or the signal's reason
 */
export async function* routedTokens(input: LoopInput): Tokens {
  if (input.strategy === 'llm') return yield* llmTokens(input);
  const pipeline = new Pipeline(input, input.strategy);
  let since = performance.now();
  try {
    for (;;) {
      input.signal.throwIfAborted();
      const { tokens, end } = pipeline.advance();
      if (tokens.length > 0) {
        input.observer.pace?.(tokens.length, performance.now() - since);
        yield tokens;
        since = performance.now();
      }
      if (end !== undefined) return end;
      await pipeline.arrival();
    }
  } finally {
    pipeline.close();
  }
}

/**
 * Lets the LLM supply every token, in blocks. Where no LLM answers and the policy allows it, the SLM supplies one token as the stated
 * fallback, and the next block is the LLM's to try again.
 */
async function* llmTokens(input: LoopInput): Tokens {
  const { endIds, slm, llm, signal, sampler, keepTop } = input;
  const ids = [...input.prompt];
  const end = ids.length + input.maxTokens;
  const topLogprobs = askedLogprobs(sampler, keepTop);
  while (ids.length < end) {
    const answer = await llm.continue(
      { ids: [...ids] },
      { maxTokens: Math.min(input.maxDraftTokens, end - ids.length), topLogprobs },
      signal,
    );
    const source = answer.length > 0 ? 'llm' : 'fallback';
    const block = answer.length > 0 ? answer : await slm.draft({ ids: [...ids] }, 1, { topLogprobs, hiddenStates: false }, signal);
    const tokens = chosen(block, ids.length - input.prompt.length, input).map(({ id, top }): EmittedToken => ({
      id,
      source,
      ...(keepTop && top && { top }),
    }));
    ids.push(...tokens.map(({ id }) => id));
    yield tokens;
    const last = tokens.at(-1);
    if (last && endIds.has(last.id)) return 'stop';
  }
  return 'length';
}

/** The tokens of a greedy block that hold: up to the first for which sampling takes another, and up to an end token. */
function chosen(block: readonly GeneratedToken[], position: number, { sampler, endIds }: LoopInput): readonly GeneratedToken[] {
  const tokens: GeneratedToken[] = [];
  for (const token of block) {
    const id = sampler.choose(token, position + tokens.length);
    tokens.push({ ...token, id });
    if (id !== token.id || endIds.has(id)) break;
  }
  return tokens;
}
