import type { ChatRequest } from './chat-request.ts';
import type { GenerationEnd, GenerationStep, Routing, TokenPiece } from './generation.ts';
import type { TokenSource } from './token.ts';

/** What is the same in every part of one response. */
export interface ResponseHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
}

export type TokenCounts = Readonly<Record<TokenSource, number>>;

/** A finished generation, added up. */
export interface Totals {
  readonly end: GenerationEnd;
  readonly promptTokens: number;
  readonly counts: TokenCounts;
  readonly routing: Routing;
}

type Json = Readonly<Record<string, unknown>>;

/** Share of all emitted tokens, end token included, that the LLM supplied; 0 when there are none. */
export function llmRatio(counts: TokenCounts): number {
  const all = counts.slm + counts.llm + counts.fallback;
  return all === 0 ? 0 : counts.llm / all;
}

function usage({ promptTokens, counts, end }: Totals): Json {
  const completionTokens = counts.slm + counts.llm + counts.fallback;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens_details: { reasoning_tokens: end.reasoningTokens },
  };
}

/** Our own fields of a finished response. */
function extension({ counts, routing }: Totals, tokens: readonly TokenPiece[] | undefined): Json {
  return {
    llm_ratio: llmRatio(counts),
    r2r: {
      strategy: routing.strategy,
      ...(routing.threshold !== undefined && { threshold: routing.threshold }),
      token_counts: counts,
      degraded: counts.fallback > 0,
      ...(tokens && { tokens }),
    },
  };
}

/** The body of a response that is not streamed. */
export function chatCompletion(head: ResponseHead, request: ChatRequest, steps: readonly GenerationStep[], totals: Totals): Json {
  const reasoning = steps.map((step) => step.reasoning).join('');
  const message = {
    role: 'assistant',
    content: steps.map(({ content }) => content).join(''),
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    refusal: null,
  };
  return {
    ...head,
    object: 'chat.completion',
    choices: [{ index: 0, message, logprobs: null, finish_reason: totals.end.finish }],
    usage: usage(totals),
    ...extension(totals, request.listTokens ? steps.flatMap(({ tokens }) => tokens) : undefined),
  };
}

/** A chunk with a part of the answer. Where usage was asked for, every chunk has the field, as OpenAI's do. */
function chunk(head: ResponseHead, request: ChatRequest, delta: Json, finish: string | null, more: Json = {}): Json {
  const choices = [{ index: 0, delta, logprobs: null, finish_reason: finish }];
  return { ...head, object: 'chat.completion.chunk', choices, ...(request.includeUsage && { usage: null }), ...more };
}

export function roleChunk(head: ResponseHead, request: ChatRequest): Json {
  return chunk(head, request, { role: 'assistant', content: '' }, null);
}

/** The chunk of one step; undefined when it has nothing to tell (text held back, tokens not asked for). */
export function stepChunk(head: ResponseHead, request: ChatRequest, step: GenerationStep): Json | undefined {
  const listed = request.listTokens && step.tokens.length > 0;
  if (step.content === '' && step.reasoning === '' && !listed) return undefined;
  const delta = {
    ...((step.content !== '' || step.reasoning === '') && { content: step.content }),
    ...(step.reasoning !== '' && { reasoning_content: step.reasoning }),
  };
  return chunk(head, request, delta, null, listed ? { r2r: { tokens: step.tokens } } : {});
}

/** The last chunks: why it ended with our own fields, and the usage where asked for. */
export function finalChunks(head: ResponseHead, request: ChatRequest, totals: Totals): readonly Json[] {
  const last = chunk(head, request, {}, totals.end.finish, extension(totals, undefined));
  if (!request.includeUsage) return [last];
  return [last, { ...head, object: 'chat.completion.chunk', choices: [], usage: usage(totals) }];
}
