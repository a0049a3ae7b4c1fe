import type { StrategyName, StrategyOptions } from '../api/strategies.ts';
import type { ChatMessage } from '../model/tokenizer.ts';
import type { Sampling } from './sampler.ts';

/** What a request wants continued, before it is tokenised. `field` is where the request has it. */
export type PromptInput =
  | {
      readonly kind: 'chat';
      readonly field: string;
      readonly messages: readonly ChatMessage[];
      readonly templateVariables: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'text'; readonly field: string; readonly text: string }
  | { readonly kind: 'ids'; readonly field: string; readonly ids: readonly number[] };

/** How a request wants to be answered, whichever route it came by. */
export interface GenerationRequest {
  /** Answers to each prompt. */
  readonly choices: number;
  /** For each choice; undefined: as many as fit. */
  readonly maxTokens: number | undefined;
  readonly stop: readonly string[];
  readonly sampling: Omit<Sampling, 'choice'>;
  /** Entries of each token's distribution to tell, 0: its own log-probability only; undefined: nothing of it. */
  readonly topLogprobs: number | undefined;
  readonly strategy: StrategyName | undefined;
  readonly threshold: number | undefined;
  /** Of the strategy. */
  readonly options: StrategyOptions | undefined;
  /** Tell each token's text and source. */
  readonly listTokens: boolean;
  /** Leave the reasoning and its tags in the content. */
  readonly inlineReasoning: boolean;
}

/** A request as it was read from a body. */
export interface ReadRequest extends GenerationRequest {
  /** Undefined on routes that name none. */
  readonly model: string | undefined;
  readonly prompts: readonly PromptInput[];
  /** The request had a list of prompts and gets a list of answers, where the route makes the difference. */
  readonly batched: boolean;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** Keeps a conversation on one replica. */
  readonly conversation: string | undefined;
}
