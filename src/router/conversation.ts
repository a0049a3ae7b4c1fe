import type { llmUnavailablePolicies } from '../api/router-config.ts';
import { EngineError, type GeneratedToken, type TokenPrefix } from '../sglang/index.ts';
import { ApiError } from './errors.ts';
import type { LlmPool } from './llm-pool.ts';

/** What is asked of the large model. */
export interface Question {
  readonly maxTokens: number;
  /** Entries of each token's distribution; 0: none. */
  readonly topLogprobs: number;
}

/** Where the token loop gets tokens of the large model from. */
export interface Consultant {
  /**
   * The LLM's next tokens after `prefix`, at least one; none when no LLM answered, or all refused, and the SLM shall step in.
   *
   * @param abandoned nobody wants the answer any more: the call is not tried again, but may finish where it is on the wire
   * @throws ApiError `llm_unavailable` or `engine_error`, or a signal's reason
   */
  continue(prefix: TokenPrefix, question: Question, signal: AbortSignal, abandoned?: AbortSignal): Promise<readonly GeneratedToken[]>;
}

export interface ConversationOptions {
  readonly pool: LlmPool;
  /** Keeps a conversation on one replica, whose prefix cache is what makes a one-token call cheap. */
  readonly key: string;
  readonly endIds: readonly number[];
  readonly onUnavailable: (typeof llmUnavailablePolicies)[number];
  readonly timeoutMs: number;
}

/** One client request's side of the LLM pool: its replica, its primed prompt, and what happens when nobody answers. */
export class Conversation implements Consultant {
  readonly #options: ConversationOptions;
  #primed: { readonly length: number; readonly topLogprobs: number; readonly tokens: Promise<readonly GeneratedToken[]> } | undefined;

  constructor(options: ConversationOptions) {
    this.#options = options;
  }

  /**
   * Starts reading the prompt into the replica's prefix cache. Its answer is kept: it is the LLM's token for the first position.
   *
   * @param topLogprobs entries of that token's distribution, as the loop will ask for
   */
  prime(prompt: readonly number[], topLogprobs: number, signal: AbortSignal): void {
    const { pool, key, timeoutMs } = this.#options;
    const call = { ids: prompt, maxNewTokens: 1, ...(topLogprobs > 0 && { topLogprobs }) };
    this.#primed = { length: prompt.length, topLogprobs, tokens: pool.prime(key, call, timeoutMs, signal) };
  }

  async continue(
    prefix: TokenPrefix,
    { maxTokens, topLogprobs }: Question,
    signal: AbortSignal,
    abandoned?: AbortSignal,
  ): Promise<readonly GeneratedToken[]> {
    const { pool, key, endIds, onUnavailable, timeoutMs } = this.#options;
    // While the prompt is still being read, another call would read it a second time.
    const primed = await this.#primed?.tokens;
    if (primed && primed.length > 0 && prefix.ids.length === this.#primed?.length && this.#primed.topLogprobs >= topLogprobs) return primed;
    const call = { ...prefix, maxNewTokens: maxTokens, stopTokenIds: endIds, ...(topLogprobs > 0 && { topLogprobs }) };
    const insistence = { timeoutMs, forever: onUnavailable === 'Wait', ...(abandoned && { abandoned }) };
    const tokens = await pool.generate(key, call, insistence, signal).catch((cause: unknown) => {
      if (signal.aborted || !(cause instanceof EngineError)) throw cause;
      if (onUnavailable === 'UseSLM') return [];
      throw new ApiError('engine_error', "the LLM refused a call; the router's log has the details under this request id", { cause });
    });
    if (tokens.length === 0 && onUnavailable === 'Fail')
      throw new ApiError('llm_unavailable', `no LLM replica answered within ${timeoutMs / 1000} s; try again later`);
    return tokens;
  }
}
