import { defaultEntropyThreshold } from '../api/router-spec.ts';
import type { RouterConfig, Strategy } from '../api/router-config.ts';
import { AnswerText } from './answer-text.ts';
import type { ChatRequest } from './chat-request.ts';
import { Conversation } from './conversation.ts';
import { ApiError } from './errors.ts';
import type { LlmPool } from './llm-pool.ts';
import type { LoopObserver } from './observer.ts';
import type { Prompt, PromptModel } from './prompt.ts';
import type { Slm } from './slm.ts';
import { entropyScorer, noScorer, slmStrategy, thresholdStrategy } from './strategy.ts';
import { llmTokens, routedTokens, type LoopInput } from './token-loop.ts';
import type { EmittedToken, LoopEnd, TokenSource } from './token.ts';

/** What a generation works with; lives as long as the router. */
export interface Serving extends PromptModel {
  /** End tokens of both models. */
  readonly endIds: ReadonlySet<number>;
  readonly slm: Slm;
  readonly pool: LlmPool;
  readonly observer: LoopObserver;
}

export interface TokenPiece {
  readonly id: number;
  readonly text: string;
  readonly source: TokenSource;
}

/** A step of an answer: new text, and the tokens it came from. */
export interface GenerationStep {
  readonly content: string;
  readonly reasoning: string;
  readonly tokens: readonly TokenPiece[];
}

export interface Routing {
  readonly strategy: Strategy;
  readonly threshold: number | undefined;
}

export interface GenerationEnd {
  readonly finish: LoopEnd;
  readonly reasoningTokens: number;
}

/** What decides for this request: its own wishes, else the configuration. */
export function routingOf(request: Pick<ChatRequest, 'strategy' | 'threshold'>, config: RouterConfig): Routing {
  const strategy = request.strategy ?? config.strategy;
  if (strategy === 'entropy') return { strategy, threshold: request.threshold ?? config.threshold ?? defaultEntropyThreshold };
  if (request.threshold !== undefined)
    throw new ApiError('invalid_value', `r2r.threshold applies to strategy entropy, not to ${strategy}`, { param: 'r2r.threshold' });
  return { strategy, threshold: undefined };
}

/**
 * Answers one prompt: runs the token loop and turns its tokens into text, until an end token, a stop string, the length or the client ends it.
 *
 * @throws ApiError, or the signal's reason
 */
export async function* generate(
  serving: Serving,
  config: RouterConfig,
  request: ChatRequest,
  prompt: Prompt,
  signal: AbortSignal,
): AsyncGenerator<GenerationStep, GenerationEnd, void> {
  const { tokenizer, tags, endIds, pool } = serving;
  const room = serving.contextLength() - prompt.ids.length;
  if (room < 1)
    throw new ApiError(
      'context_length_exceeded',
      `the prompt has ${prompt.ids.length} tokens, but prompt and answer together can have ${serving.contextLength()}; shorten the messages`,
      { param: 'messages' },
    );
  const routing = routingOf(request, config);
  // Ends what is still under way for this request (a prime nobody needed) when it is over.
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const llm = new Conversation({
    pool,
    key: prompt.conversationKey,
    endIds: [...endIds],
    onUnavailable: config.onLLMUnavailable,
    timeoutMs: config.llmTimeoutSeconds * 1000,
  });
  if (routing.strategy === 'entropy') llm.prime(prompt.ids, either);
  const text = new AnswerText({
    tokenizer,
    tags,
    endIds,
    startsThinking: prompt.startsThinking,
    inline: request.inlineReasoning,
    stop: request.stop,
  });
  const loop = tokensOf(routing, {
    prompt: prompt.ids,
    maxTokens: Math.min(request.maxTokens ?? room, room),
    maxDraftTokens: config.maxDraftTokens,
    endIds,
    slm: serving.slm,
    llm,
    observer: serving.observer,
    signal: either,
  });
  try {
    for (;;) {
      const next = await loop.next();
      if (next.done) {
        const { content, reasoning, stopped } = text.finish();
        if (content || reasoning) yield { content, reasoning, tokens: [] };
        return { finish: stopped ? 'stop' : next.value, reasoningTokens: text.reasoningTokens };
      }
      const step = stepOf(next.value, text);
      yield step;
      if (step.stopped) return { finish: 'stop', reasoningTokens: text.reasoningTokens };
    }
  } finally {
    over.abort();
    await loop.return('stop');
  }
}

function tokensOf({ strategy, threshold = 0 }: Routing, input: LoopInput): AsyncGenerator<readonly EmittedToken[], LoopEnd, void> {
  switch (strategy) {
    case 'entropy':
      return routedTokens(input, thresholdStrategy(threshold), entropyScorer);
    case 'slm':
      return routedTokens(input, slmStrategy, noScorer);
    case 'llm':
      return llmTokens(input);
  }
}

/** Text of a block's tokens. What comes behind a complete stop string was never emitted, as if tokens had come one by one. */
function stepOf(tokens: readonly EmittedToken[], text: AnswerText): GenerationStep & { readonly stopped: boolean } {
  let content = '';
  let reasoning = '';
  const pieces: TokenPiece[] = [];
  for (const { id, source } of tokens) {
    const part = text.push(id);
    content += part.content;
    reasoning += part.reasoning;
    pieces.push({ id, text: part.piece, source });
    if (part.stopped) return { content, reasoning, tokens: pieces, stopped: true };
  }
  return { content, reasoning, tokens: pieces, stopped: false };
}
