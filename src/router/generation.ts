import type { RouterConfig } from '../api/router-config.ts';
import type { TopLogprobs } from '../sglang/index.ts';
import { AnswerText } from './answer-text.ts';
import { Conversation } from './conversation.ts';
import type { GenerationRequest } from './generation-request.ts';
import type { LlmPool } from './llm-pool.ts';
import { merged } from './merged.ts';
import type { LoopObserver } from './observer.ts';
import { tooLong, type Prompt, type PromptModel } from './prompt.ts';
import { routingOf, type Loaded } from './routing.ts';
import { greedySampler, samplerOf } from './sampler.ts';
import type { Scorer, SignalName } from './scoring/signals.ts';
import type { Slm } from './slm.ts';
import { askedLogprobs, routedTokens, type LoopInput } from './token-loop.ts';
import type { EmittedToken, LoopEnd, TokenSource } from './token.ts';

/** What a generation works with: what is in force when its request comes. */
export interface Serving extends PromptModel {
  /** End tokens of both models. */
  readonly endIds: ReadonlySet<number>;
  /** Ids below this are known to both models and the tokenizer. */
  readonly validIds: number;
  /** Longest sequence both models take, now. */
  readonly contextLength: () => number;
  readonly slm: Slm;
  readonly pool: LlmPool;
  readonly observer: LoopObserver;
  /** What the bundle in force brings. */
  readonly loaded: Loaded;
  /** @throws ScoringError for signals that are not in `loaded` */
  readonly scorerFor: (signals: readonly SignalName[]) => Scorer;
}

export interface TokenPiece {
  readonly id: number;
  readonly text: string;
  readonly source: TokenSource;
  /** Distribution (untempered) of the model that supplied it; only where log-probabilities were asked for. */
  readonly top?: TopLogprobs;
}

/** A step of one choice: new text, and the tokens it came from. */
export interface GenerationStep {
  /** Index of the choice among the prompt's. */
  readonly choice: number;
  readonly content: string;
  readonly reasoning: string;
  readonly tokens: readonly TokenPiece[];
  /** This is the choice's last step. */
  readonly end?: GenerationEnd;
}

export interface GenerationEnd {
  readonly finish: LoopEnd;
  /** Tokens that were part of the reasoning, tags included. */
  readonly reasoningTokens: number;
}

/**
 * Answers one prompt: runs the token loop for each choice, all at once, and turns tokens into text, until an end token, a stop string, the
 * length or the client ends it. All choices share one conversation, so that the prompt is read once.
 *
 * @throws ApiError, or the signal's reason
 */
export async function* generate(
  serving: Serving,
  config: RouterConfig,
  request: GenerationRequest,
  prompt: Prompt,
  signal: AbortSignal,
): AsyncGenerator<GenerationStep, void, void> {
  const { endIds, pool } = serving;
  const contextLength = serving.contextLength();
  const room = contextLength - prompt.ids.length;
  if (room < 1) throw tooLong(`${prompt.ids.length}`, prompt.field, contextLength);
  const { name, strategy, signals } = routingOf(request, config, serving.loaded);
  const scorer = serving.scorerFor(signals);
  // Ends what is still under way for this request (a prime nobody needed, another choice) when it is over.
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const llm = new Conversation({
    pool,
    key: prompt.conversationKey,
    endIds: [...endIds],
    onUnavailable: config.onLLMUnavailable,
    timeoutMs: config.llmTimeoutSeconds * 1000,
  });
  const keepTop = request.topLogprobs !== undefined;
  const samplers = Array.from({ length: request.choices }, (_, choice) => samplerOf({ ...request.sampling, choice }, serving.validIds));
  // With strategy llm its own first call reads the prompt.
  if (name !== 'slm' && name !== 'llm') {
    const topLogprobs = askedLogprobs(samplers[0] ?? greedySampler, keepTop);
    llm.prime(prompt.ids, topLogprobs, either);
  }
  const loops = samplers.map((sampler, choice) => {
    const input: LoopInput = {
      prompt: prompt.ids,
      maxTokens: Math.min(request.maxTokens ?? room, room),
      maxDraftTokens: config.maxDraftTokens,
      endIds,
      slm: serving.slm,
      llm,
      strategy,
      scorer,
      sampler,
      keepTop,
      lookahead: config.lookahead,
      maxLookaheadCalls: config.maxLookaheadCalls,
      observer: serving.observer,
      signal: either,
    };
    return oneChoice(choice, input, textOf(serving, request, prompt));
  });
  const [only] = loops;
  const steps = only && loops.length === 1 ? only : merged(loops, () => over.abort());
  try {
    yield* steps;
  } finally {
    over.abort();
    await steps.return();
  }
}

function textOf({ tokenizer, tags, endIds }: Serving, request: GenerationRequest, prompt: Prompt): AnswerText {
  const { startsThinking } = prompt;
  return new AnswerText({ tokenizer, tags, endIds, startsThinking, inline: request.inlineReasoning, stop: request.stop });
}

async function* oneChoice(choice: number, input: LoopInput, text: AnswerText): AsyncGenerator<GenerationStep, void, void> {
  const loop = routedTokens(input);
  const end = (finish: LoopEnd): GenerationEnd => ({ finish, reasoningTokens: text.reasoningTokens });
  try {
    for (;;) {
      const next = await loop.next();
      if (next.done) {
        const { content, reasoning, stopped } = text.finish();
        yield { choice, content, reasoning, tokens: [], end: end(stopped ? 'stop' : next.value) };
        return;
      }
      const { stopped, ...step } = stepOf(next.value, text);
      yield { choice, ...step, ...(stopped && { end: end('stop') }) };
      if (stopped) return;
    }
  } finally {
    await loop.return('stop');
  }
}

/** Text of a block's tokens. What comes behind a complete stop string was never emitted, as if tokens had come one by one. */
function stepOf(tokens: readonly EmittedToken[], text: AnswerText): Omit<GenerationStep, 'choice'> & { readonly stopped: boolean } {
  let content = '';
  let reasoning = '';
  const pieces: TokenPiece[] = [];
  for (const { id, source, top } of tokens) {
    const part = text.push(id);
    content += part.content;
    reasoning += part.reasoning;
    pieces.push({ id, text: part.piece, source, ...(top && { top }) });
    if (part.stopped) return { content, reasoning, tokens: pieces, stopped: true };
  }
  return { content, reasoning, tokens: pieces, stopped: false };
}
