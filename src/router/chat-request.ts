import { z } from 'zod';
import { strategies, type Strategy } from '../api/router-config.ts';
import type { ChatMessage } from '../model/tokenizer.ts';
import { ApiError } from './errors.ts';

const textParts = z.array(z.object({ type: z.literal('text'), text: z.string() }));

const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant']),
  content: z.union([z.string(), textParts, z.null()]).optional(),
});

/** Each message costs the template and the checks below time during which nobody else is served. */
const maxMessages = 10_000;

const nullish = <T extends z.ZodType>(type: T): z.ZodOptional<z.ZodNullable<T>> => type.nullable().optional();

const chatBody = z.object({
  model: z.string().min(1),
  // Counted before they are looked at.
  messages: z.array(z.unknown()).min(1).max(maxMessages).pipe(z.array(message)),
  stream: nullish(z.boolean()),
  stream_options: nullish(z.object({ include_usage: nullish(z.boolean()) })),
  max_tokens: nullish(z.number().int().min(1)),
  max_completion_tokens: nullish(z.number().int().min(1)),
  temperature: nullish(z.number().min(0).max(2)),
  stop: nullish(z.union([z.string().min(1).max(256), z.array(z.string().min(1).max(256)).max(16)])),
  chat_template_kwargs: nullish(z.record(z.string(), z.unknown())),
  prompt_cache_key: nullish(z.string().min(1).max(256)),
  r2r: nullish(
    z.object({
      strategy: z.enum(strategies).optional(),
      threshold: z.number().min(0).optional(),
      tokens: z.boolean().optional(),
      inline_reasoning: z.boolean().optional(),
    }),
  ),
});

/** A chat request that can be served, in our words. */
export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly templateVariables: Readonly<Record<string, unknown>>;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly maxTokens: number | undefined;
  readonly stop: readonly string[];
  readonly conversation: string | undefined;
  readonly strategy: Strategy | undefined;
  readonly threshold: number | undefined;
  /** Tell each token's text and source. */
  readonly listTokens: boolean;
  readonly inlineReasoning: boolean;
}

const isSet = (value: unknown): boolean => value !== undefined && value !== null && value !== false;
const isFilled = (value: unknown): boolean => isSet(value) && (typeof value !== 'object' || Object.keys(value ?? {}).length > 0);
const isOtherThan =
  (...neutral: readonly unknown[]) =>
  (value: unknown): boolean =>
    isSet(value) && !neutral.includes(value);

/** Fields whose effect would change which token is right, or that this version does not serve; each with the values that mean nothing. */
const unsupported: Readonly<Record<string, { readonly asksForIt: (value: unknown) => boolean; readonly why: string }>> = {
  tools: { asksForIt: isFilled, why: 'tool calls are not routed' },
  tool_choice: { asksForIt: isOtherThan('none', 'auto'), why: 'tool calls are not routed' },
  functions: { asksForIt: isFilled, why: 'tool calls are not routed' },
  function_call: { asksForIt: isOtherThan('none', 'auto'), why: 'tool calls are not routed' },
  response_format: {
    asksForIt: (value) => isFilled(value) && !(typeof value === 'object' && value !== null && 'type' in value && value.type === 'text'),
    why: 'constrained output changes the logits that routing looks at',
  },
  logit_bias: { asksForIt: isFilled, why: 'it changes the logits that routing looks at' },
  presence_penalty: { asksForIt: isOtherThan(0), why: 'it changes the logits that routing looks at' },
  frequency_penalty: { asksForIt: isOtherThan(0), why: 'it changes the logits that routing looks at' },
  repetition_penalty: { asksForIt: isOtherThan(1), why: 'it changes the logits that routing looks at' },
  temperature: { asksForIt: isOtherThan(0), why: 'this version answers greedily; leave temperature out or send 0' },
  n: { asksForIt: isOtherThan(1), why: 'this version gives one choice; leave n out or send 1' },
  best_of: { asksForIt: isOtherThan(1), why: 'this version gives one choice' },
  logprobs: { asksForIt: isSet, why: 'this version gives no log-probabilities' },
  top_logprobs: { asksForIt: isOtherThan(0), why: 'this version gives no log-probabilities' },
  audio: { asksForIt: isFilled, why: 'text only' },
};

/**
 * Checks the body of `POST /v1/chat/completions`. Fields that nobody knows are ignored; fields that would change the answer in a way we
 * cannot give are refused by name.
 *
 * @throws ApiError `invalid_value` or `unsupported_parameter`, naming the field
 */
export function readChatRequest(body: unknown): ChatRequest {
  const parsed = chatBody.safeParse(body);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const param = issue?.path.join('.') ?? '';
    throw new ApiError('invalid_value', `${param || 'body'}: ${issue?.message ?? 'invalid'}`, { ...(param && { param }) });
  }
  for (const [param, { asksForIt, why }] of Object.entries(unsupported)) {
    const value: unknown = Object.entries(body ?? {}).find(([name]) => name === param)?.[1];
    if (asksForIt(value)) throw new ApiError('unsupported_parameter', `${param} is not supported: ${why}`, { param });
  }
  const request = parsed.data;
  return {
    model: request.model,
    messages: request.messages.map(({ role, content }) => ({ role: role === 'developer' ? 'system' : role, content: textOf(content) })),
    templateVariables: request.chat_template_kwargs ?? {},
    stream: request.stream ?? false,
    includeUsage: request.stream_options?.include_usage ?? false,
    maxTokens: request.max_completion_tokens ?? request.max_tokens ?? undefined,
    stop: [request.stop ?? []].flat(),
    conversation: request.prompt_cache_key ?? undefined,
    strategy: request.r2r?.strategy,
    threshold: request.r2r?.threshold,
    listTokens: request.r2r?.tokens ?? false,
    inlineReasoning: request.r2r?.inline_reasoning ?? false,
  };
}

function textOf(content: z.infer<typeof message>['content']): string {
  return typeof content === 'string' ? content : (content ?? []).map(({ text }) => text).join('');
}
