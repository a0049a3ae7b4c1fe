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

/**
 * Renders and tokenises the conversation.
 *
 * @param headerKey header `x-r2r-conversation`, which wins over `prompt_cache_key`
 * @throws ApiError `invalid_value` when the model's chat template refuses the messages
 */
export function makePrompt(request: ChatRequest, tokenizer: Tokenizer, tags: ThinkTags | undefined, headerKey: string | undefined): Prompt {
  const render = (messages: readonly ChatMessage[]): string => {
    try {
      return tokenizer.applyChatTemplate(messages, request.templateVariables);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new ApiError('invalid_value', `messages: the model's chat template refuses them: ${reason}`, { param: 'messages', cause });
    }
  };
  const text = render(request.messages);
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
