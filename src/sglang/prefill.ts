import type { AnswerCost, TopLogprobs } from './answer.ts';
import { generateBody, type GenerateBody, type TokenPrefix } from './call.ts';
import { EngineError } from './errors.ts';

/** What the model says after each of a sequence's last tokens. */
export interface PrefillCall extends TokenPrefix {
  /** The first token whose row is asked for; up to it the server should have the sequence cached. */
  readonly from: number;
  /** Entries of each distribution, best first; clamped to the vocabulary. At least one. */
  readonly topLogprobs: number;
  /**
   * Calls of one key share the prefix cache, and no others: what the server cached for anybody else may have been computed in other pieces, and
   * then differs in its last bits. @default shared with all calls without one
   */
  readonly cacheKey?: string;
  readonly timeoutMs: number;
}

/** What one token of the sequence made of it. */
export interface PrefilledRow {
  /** Distribution of the token behind. */
  readonly top: TopLogprobs;
  /** State after the final norm at this token, which is what entered the LM head. */
  readonly hidden: Float32Array;
}

export interface PrefillAnswer {
  /** Of the tokens from `from` to the last. */
  readonly rows: readonly PrefilledRow[];
  readonly cachedTokens: number;
  readonly cost: AnswerCost;
}

/** The JSON body of a prefill: a `/generate` of one token that tells about the prompt. */
export interface PrefillBody extends GenerateBody {
  readonly logprob_start_len: number;
  readonly top_logprobs_num: number;
  readonly extra_key?: string;
}

/**
 * `logprob_start_len` says from where on there are log-probabilities, and keeps the server from taking more of the prefix cache than the tokens
 * before: hidden states are only there for tokens that are not taken from it.
 *
 * @throws EngineError `invalid_call`, `invalid_token`
 */
export function prefillBody(call: PrefillCall, rid: string, server: { readonly url: string; readonly vocabSize: number }): PrefillBody {
  const { from, topLogprobs, ids } = call;
  if (!Number.isInteger(from) || from < 0 || from >= ids.length)
    throw new EngineError('invalid_call', server.url, `from is ${from}: it must be a position of the ${ids.length} ids`);
  if (!Number.isInteger(topLogprobs) || topLogprobs < 1)
    throw new EngineError('invalid_call', server.url, `topLogprobs is ${topLogprobs}: it must be a whole number of at least 1`);
  const body = generateBody({ ...call, maxNewTokens: 1, hiddenStates: true }, rid, server);
  return {
    ...body,
    logprob_start_len: from,
    top_logprobs_num: Math.min(topLogprobs, server.vocabSize),
    ...(call.cacheKey !== undefined && { extra_key: call.cacheKey }),
  };
}
