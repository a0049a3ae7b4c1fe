import { ApiError } from '../errors.ts';
import type { ReadRequest } from '../generation-request.ts';
import { makePrompt, type Prompt, type PromptLimits, type PromptModel } from '../prompt.ts';
import { readChatRequest } from './chat-request.ts';
import { readCompletionsRequest } from './completions-request.ts';
import { readGenerateRequest } from './generate-request.ts';

const readers = { chat: readChatRequest, completions: readCompletionsRequest, generate: readGenerateRequest } as const;

/** The routes that generate. */
export type Route = keyof typeof readers;

/** What a body is judged by besides itself. Plain data: it goes to another thread. */
export interface PreparationFacts extends PromptLimits {
  readonly modelName: string;
  /** Largest number of choices, of all prompts together. */
  readonly maxChoices: number;
  /** For a request that samples and names no seed. */
  readonly randomSeed: number;
  /** Header `x-r2r-conversation`, which wins over `prompt_cache_key`. */
  readonly conversation: string | undefined;
}

/** A request that can be answered. Plain data too. */
export interface Prepared extends Omit<ReadRequest, 'prompts'> {
  readonly prompts: readonly Prompt[];
}

/**
 * Makes a request of a body: parses, checks, renders and tokenises it.
 *
 * @throws ApiError saying what is wrong with it
 */
export function prepare(route: Route, body: Uint8Array, model: PromptModel, facts: PreparationFacts): Prepared {
  const { prompts, ...request } = readers[route](parse(body), facts.randomSeed);
  if (request.model !== undefined && request.model !== facts.modelName)
    throw new ApiError('model_not_found', `the model "${request.model}" does not exist; this router serves "${facts.modelName}"`, {
      param: 'model',
    });
  const choices = prompts.length * request.choices;
  if (choices > facts.maxChoices) {
    const param = request.choices > 1 ? 'n' : (prompts[0]?.field.split('.')[0] ?? 'n');
    throw new ApiError('invalid_value', `${param}: ${choices} answers are asked for at once; ${facts.maxChoices} are allowed`, { param });
  }
  const key = facts.conversation ?? request.conversation;
  return { ...request, prompts: prompts.map((input) => makePrompt(input, model, facts, key)) };
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(body));
  } catch (cause) {
    throw new ApiError('invalid_json', 'the request body is not a JSON object in UTF-8; check its syntax', { cause });
  }
}
