import { createHash } from 'node:crypto';
import type { ChatMessage, Tokenizer } from '../model/tokenizer.ts';
import { thinkTags, type ThinkTags } from './answer-text.ts';
import { ApiError } from './errors.ts';
import type { PromptInput } from './generation-request.ts';

export interface Prompt {
  readonly ids: readonly number[];
  /** Where the request has it. */
  readonly field: string;
  /** The template left the opening think tag to be continued. */
  readonly startsThinking: boolean;
  /** Same for every turn of one conversation. */
  readonly conversationKey: string;
}

/** What turns messages into a prompt. */
export interface PromptModel {
  readonly tokenizer: Tokenizer;
  readonly tags: ThinkTags | undefined;
  /** UTF-8 bytes of the vocabulary's longest token. */
  readonly longestTokenBytes: number;
}

/** What a prompt has to fit. */
export interface PromptLimits {
  /** Longest sequence both models take, now. */
  readonly contextLength: number;
  /** Ids below this are known to both models and the tokenizer; any other would kill a model's server. */
  readonly validIds: number;
}

export function promptModel(tokenizer: Tokenizer): PromptModel {
  return { tokenizer, tags: thinkTags(tokenizer), longestTokenBytes: longestTokenBytes(tokenizer) };
}

/** UTF-8 bytes of a vocabulary's longest token. */
export function longestTokenBytes(tokenizer: Tokenizer): number {
  let longest = 1;
  for (const id of tokenizer.tokenToId.values()) longest = Math.max(longest, tokenizer.tokenBytes(id).length);
  return longest;
}

/**
 * Renders and tokenises what a request wants continued.
 *
 * @param key what the client calls its conversation; undefined: its beginning tells it from others
 * @throws ApiError `invalid_value` when the model's chat template refuses the messages or a token id is unknown, `context_length_exceeded`
 */
export function makePrompt(input: PromptInput, model: PromptModel, limits: PromptLimits, key: string | undefined): Prompt {
  const { field } = input;
  const hash = (ids: readonly number[]): string => createHash('sha256').update(ids.join()).digest('hex');
  switch (input.kind) {
    case 'chat': {
      const { messages } = input;
      const text = render(input, messages, model);
      const ids = encodeWithin(text, field, model, limits.contextLength, false);
      const opening = messages.slice(0, messages.findIndex(({ role }) => role === 'user') + 1);
      const keyIds = (): readonly number[] =>
        opening.length === 0 || opening.length === messages.length ? ids : model.tokenizer.encode(render(input, opening, model));
      const startsThinking = model.tags !== undefined && text.trimEnd().endsWith(model.tags.open);
      return { ids, field, startsThinking, conversationKey: key ?? hash(keyIds()) };
    }
    case 'text': {
      const ids = encodeWithin(input.text, field, model, limits.contextLength, true);
      if (ids.length === 0) throw new ApiError('invalid_value', `${field}: expected at least one token`, { param: field });
      return { ids, field, startsThinking: false, conversationKey: key ?? hash(ids) };
    }
    case 'ids': {
      const { ids } = input;
      if (ids.length >= limits.contextLength) throw tooLong(`${ids.length}`, field, limits.contextLength);
      const unknown = ids.find((id) => id >= limits.validIds);
      if (unknown !== undefined)
        throw new ApiError('invalid_value', `${field}: token id ${unknown} is unknown; ids are below ${limits.validIds}`, { param: field });
      return { ids, field, startsThinking: false, conversationKey: key ?? hash(ids) };
    }
  }
}

/** A prompt that leaves no room for an answer. @param tokens its number of tokens, in words */
export function tooLong(tokens: string, field: string, contextLength: number): ApiError {
  return new ApiError(
    'context_length_exceeded',
    `${field}: the prompt has ${tokens} tokens, but prompt and answer together can have ${contextLength}; shorten it`,
    { param: field },
  );
}

function render(input: PromptInput & { readonly kind: 'chat' }, messages: readonly ChatMessage[], { tokenizer }: PromptModel): string {
  try {
    return tokenizer.applyChatTemplate(messages, input.templateVariables);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ApiError('invalid_value', `messages: the model's chat template refuses them: ${reason}`, { param: 'messages', cause });
  }
}

/** Characters a token has on average at most, in ordinary text. A first guess at where a text becomes too long. */
const usualTokenLength = 8;

/**
 * Tokenises a text. One that cannot fit the context even in longest tokens is refused at once, and one that is too long as soon as a part
 * of it is: tokenising megabytes takes seconds.
 */
function encodeWithin(text: string, field: string, model: PromptModel, contextLength: number, addSpecialTokens: boolean): number[] {
  const { tokenizer, longestTokenBytes: longest } = model;
  const bytes = Buffer.byteLength(text);
  if (bytes > contextLength * longest)
    throw new ApiError(
      'context_length_exceeded',
      `${field}: the prompt has ${bytes} bytes, which makes more than the ${contextLength} tokens that prompt and answer together can have; shorten it`,
      { param: field },
    );
  // Where a text is cut, the tokens around the cut may differ from those of the whole: hence a margin of a quarter.
  for (let length = contextLength * usualTokenLength; length < text.length; length *= 2)
    if (tokenizer.encode(text.slice(0, length)).length > contextLength * 1.25)
      throw tooLong(`more than ${contextLength}`, field, contextLength);
  return tokenizer.encode(text, { addSpecialTokens });
}
