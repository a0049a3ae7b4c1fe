import { z } from 'zod';
import { ApiError } from '../errors.ts';
import type { ReadRequest } from '../generation-request.ts';
import { chatRefusals, commonFields, commonOf, nullish, readFields } from './fields.ts';

const textParts = z.array(z.object({ type: z.literal('text'), text: z.string() }));

const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant']),
  content: z.union([z.string(), textParts, z.null()]).optional(),
});

/** Each message costs the template and the checks below time. */
const maxMessages = 10_000;

const chatBody = z.object({
  ...commonFields,
  // Counted before they are looked at.
  messages: z.array(z.unknown()).min(1).max(maxMessages).pipe(z.array(message)),
  max_completion_tokens: nullish(z.number().int().min(1)),
  logprobs: nullish(z.boolean()),
  top_logprobs: nullish(z.number().int().min(0).max(20)),
  chat_template_kwargs: nullish(z.record(z.string(), z.unknown())),
});

/**
 * Checks the body of `POST /v1/chat/completions`. Fields that nobody knows are ignored; fields that would change the answer in a way we
 * cannot give are refused by name.
 *
 * @param randomSeed for a request that samples and names no seed
 * @throws ApiError `invalid_value` or `unsupported_parameter`, naming the field
 */
export function readChatRequest(body: unknown, randomSeed: number): ReadRequest {
  const fields = readFields(chatBody, body, chatRefusals);
  const { top_logprobs: topLogprobs } = fields;
  if (topLogprobs && !fields.logprobs) throw new ApiError('invalid_value', 'top_logprobs: needs logprobs: true', { param: 'top_logprobs' });
  const messages = fields.messages.map(({ role, content }) => ({
    role: role === 'developer' ? 'system' : role,
    content: textOf(content),
  }));
  return {
    ...commonOf(fields, randomSeed),
    prompts: [{ kind: 'chat', field: 'messages', messages, templateVariables: fields.chat_template_kwargs ?? {} }],
    batched: false,
    maxTokens: fields.max_completion_tokens ?? fields.max_tokens ?? undefined,
    topLogprobs: fields.logprobs ? (topLogprobs ?? 0) : undefined,
  };
}

function textOf(content: z.infer<typeof message>['content']): string {
  return typeof content === 'string' ? content : (content ?? []).map(({ text }) => text).join('');
}
