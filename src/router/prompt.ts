import { createHash } from 'node:crypto';
import type { ChatMessage, Tokenizer } from '../model/tokenizer.ts';
import type { ThinkTags } from './answer-text.ts';
import type { ChatRequest } from './chat-request.ts';
import { ApiError } from './errors.ts';

export interface Prompt {
  readonly ids: readonly number[];
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
  /** Longest sequence both models take, now. */
  readonly contextLength: () => number;
}

/** UTF-8 bytes of a vocabulary's longest token. */
export function longestTokenBytes(tokenizer: Tokenizer): number {
  let longest = 1;
  for (const id of tokenizer.tokenToId.values()) longest = Math.max(longest, tokenizer.tokenBytes(id).length);
  return longest;
}

/**
 * Renders and tokenises the conversation. A text that cannot fit the context even in longest tokens is refused before it is tokenised,
 * which would hold up everybody for seconds.
 *
 * @param headerKey header `x-r2r-conversation`, which wins over `prompt_cache_key`
 * @throws ApiError `invalid_value` when the model's chat template refuses the messages, `context_length_exceeded`
 */
export function makePrompt(request: ChatRequest, model: PromptModel, headerKey: string | undefined): Prompt {
  const { tokenizer, tags } = model;
  const render = (messages: readonly ChatMessage[]): string => {
    try {
      return tokenizer.applyChatTemplate(messages, request.templateVariables);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new ApiError('invalid_value', `messages: the model's chat template refuses them: ${reason}`, { param: 'messages', cause });
    }
  };
  const text = render(request.messages);
  const [bytes, contextLength] = [Buffer.byteLength(text), model.contextLength()];
  if (bytes > contextLength * model.longestTokenBytes)
    throw new ApiError(
      'context_length_exceeded',
      `the prompt has ${bytes} bytes, which makes more than the ${contextLength} tokens that prompt and answer together can have; shorten the messages`,
      { param: 'messages' },
    );
  const ids = tokenizer.encode(text);
  const opening = request.messages.slice(0, request.messages.findIndex(({ role }) => role === 'user') + 1);
  const keyIds = (): readonly number[] =>
    opening.length === 0 || opening.length === request.messages.length ? ids : tokenizer.encode(render(opening));
  return {
    ids,
    startsThinking: tags !== undefined && text.trimEnd().endsWith(tags.open),
    conversationKey: headerKey ?? request.conversation ?? createHash('sha256').update(keyIds().join()).digest('hex'),
  };
}
