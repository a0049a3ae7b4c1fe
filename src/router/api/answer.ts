import type { Tokenizer } from '../../model/tokenizer.ts';
import type { GenerationEnd, GenerationStep, TokenPiece } from '../generation.ts';
import type { Routing } from '../routing.ts';
import { tokenSources, type TokenSource } from '../token.ts';
import { characters } from './logprobs.ts';
import type { Prepared } from './preparation.ts';

export type Json = Readonly<Record<string, unknown>>;
export type TokenCounts = Readonly<Record<TokenSource, number>>;

/** What is the same in every part of one response. */
export interface ResponseHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
}

/** What answers are written with. */
export interface AnswerContext {
  readonly head: ResponseHead;
  readonly request: Prepared;
  readonly routing: Routing;
  readonly tokenizer: Tokenizer;
  readonly endIds: ReadonlySet<number>;
}

/** One choice, added up while its steps come. */
export class ChoiceTotals {
  readonly counts: Record<TokenSource, number> = { slm: 0, llm: 0, fallback: 0 };
  /** Code points of its text, whether shown or held back. */
  characters = 0;
  end: GenerationEnd | undefined;

  add({ tokens, end }: GenerationStep): void {
    for (const { source, text } of tokens) {
      this.counts[source]++;
      this.characters += characters(text);
    }
    this.end ??= end;
  }
}

/** Writes the answers of one route. */
export interface AnswerWriter {
  /** The body of an answer that is not streamed. @param choices steps of each choice */
  whole(choices: readonly (readonly GenerationStep[])[], totals: readonly ChoiceTotals[]): unknown;
  /** The first event of a choice. */
  begin?(choice: number): Json;
  /** A step's event; undefined when it has nothing to tell. @param before the choice's totals without this step */
  step(choice: number, step: GenerationStep, before: ChoiceTotals): Json | undefined;
  /** A choice's last event. */
  end(choice: number, totals: ChoiceTotals): Json;
  /** The event behind all choices, where usage was asked for. */
  usage(totals: readonly ChoiceTotals[]): Json;
}

/** Share of all emitted tokens, end token included, that the LLM supplied; 0 when there are none. */
export function llmRatio(counts: TokenCounts): number {
  const all = sum(counts);
  return all === 0 ? 0 : counts.llm / all;
}

const sum = (counts: TokenCounts): number => tokenSources.reduce((total, source) => total + counts[source], 0);

export function summed(totals: readonly ChoiceTotals[]): TokenCounts {
  const add = (source: TokenSource): number => totals.reduce((total, { counts }) => total + counts[source], 0);
  return { slm: add('slm'), llm: add('llm'), fallback: add('fallback') };
}

export function usage({ prompts }: Prepared, totals: readonly ChoiceTotals[]): Json {
  const promptTokens = prompts.reduce((total, { ids }) => total + ids.length, 0);
  const completionTokens = sum(summed(totals));
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens_details: { reasoning_tokens: totals.reduce((total, { end }) => total + (end?.reasoningTokens ?? 0), 0) },
  };
}

/** Our own fields of what is finished: an answer, or a choice. */
export function extension({ routing, request }: AnswerContext, counts: TokenCounts, tokens?: readonly TokenPiece[]): Json {
  return {
    llm_ratio: llmRatio(counts),
    r2r: {
      strategy: routing.name,
      ...(routing.threshold !== undefined && { threshold: routing.threshold }),
      ...(request.sampling.temperature > 0 && { seed: request.sampling.seed }),
      token_counts: counts,
      degraded: counts.fallback > 0,
      ...(tokens && { tokens: listed(tokens) }),
    },
  };
}

/** Tokens as `r2r.tokens` lists them. */
export function listed(tokens: readonly TokenPiece[]): readonly Json[] {
  return tokens.map(({ id, text, source }) => ({ id, text, source }));
}

/**
 * Our own fields of an answer that is not streamed, and of each of its choices. With one choice all stands on top; of several each has its
 * own beside the sums.
 */
export function extensions(
  context: AnswerContext,
  choices: readonly (readonly GenerationStep[])[],
  totals: readonly ChoiceTotals[],
): { readonly top: Json; readonly perChoice: readonly Json[] } {
  const tokensOf = (steps: readonly GenerationStep[] = []): readonly TokenPiece[] | undefined =>
    context.request.listTokens ? steps.flatMap(({ tokens }) => tokens) : undefined;
  const several = choices.length > 1;
  return {
    top: extension(context, summed(totals), several ? undefined : tokensOf(choices[0])),
    perChoice: totals.map(({ counts }, index) => (several ? extension(context, counts, tokensOf(choices[index])) : {})),
  };
}

/** What a token list shows of a step in a stream. */
export function listedStep({ request }: AnswerContext, { tokens }: GenerationStep): Json | undefined {
  return request.listTokens && tokens.length > 0 ? { r2r: { tokens: listed(tokens) } } : undefined;
}
