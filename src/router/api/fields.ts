import { z } from 'zod';
import { strategies, strategyOptionsSchema } from '../../api/strategies.ts';
import { ApiError } from '../errors.ts';
import type { GenerationRequest } from '../generation-request.ts';

/** A field that may be left out or null. */
export const nullish = <T extends z.ZodType>(type: T): z.ZodOptional<z.ZodNullable<T>> => type.nullable().optional();

export const stopField = nullish(z.union([z.string().min(1).max(256), z.array(z.string().min(1).max(256)).max(16)]));

/** Our own field: how this request is routed, and what is told of it. */
export const r2rField = nullish(
  z.object({
    strategy: z.enum(strategies).optional(),
    threshold: z.number().min(0).optional(),
    options: strategyOptionsSchema.optional(),
    tokens: z.boolean().optional(),
    inline_reasoning: z.boolean().optional(),
  }),
);

export const samplingFields = {
  temperature: nullish(z.number().min(0).max(2)),
  top_p: nullish(z.number().gt(0).max(1)),
  /** -1 is what SGLang and vLLM call no bound. */
  top_k: nullish(z.number().int().min(-1).max(1_000_000)),
  seed: nullish(z.number().int()),
};

/** Fields that OpenAI's two routes share. */
export const commonFields = {
  model: z.string().min(1),
  stream: nullish(z.boolean()),
  stream_options: nullish(z.object({ include_usage: nullish(z.boolean()) })),
  max_tokens: nullish(z.number().int().min(1)),
  n: nullish(z.number().int().min(1)),
  stop: stopField,
  prompt_cache_key: nullish(z.string().min(1).max(256)),
  ...samplingFields,
  r2r: r2rField,
};

type CommonFields = z.infer<z.ZodObject<typeof commonFields>>;

const isSet = (value: unknown): boolean => value !== undefined && value !== null && value !== false;
const isFilled = (value: unknown): boolean => isSet(value) && (typeof value !== 'object' || Object.keys(value ?? {}).length > 0);
const isOtherThan =
  (...neutral: readonly unknown[]) =>
  (value: unknown): boolean =>
    isSet(value) && !neutral.includes(value);

interface Refusal {
  readonly asksForIt: (value: unknown) => boolean;
  readonly why: string;
}
export type Refusals = Readonly<Record<string, Refusal>>;

const changesLogits = 'it changes the logits that routing looks at';
const noTools = 'tool calls are not routed';
const constrains = 'constrained output changes the logits that routing looks at';

/** Fields whose effect would change which token is right, or that are not served; each with the values that mean nothing. */
export const commonRefusals: Refusals = {
  logit_bias: { asksForIt: isFilled, why: changesLogits },
  presence_penalty: { asksForIt: isOtherThan(0), why: changesLogits },
  frequency_penalty: { asksForIt: isOtherThan(0), why: changesLogits },
  repetition_penalty: { asksForIt: isOtherThan(1), why: changesLogits },
  min_p: { asksForIt: isOtherThan(0), why: 'sampling has temperature, top_p and top_k' },
  min_tokens: { asksForIt: isOtherThan(0), why: changesLogits },
  min_new_tokens: { asksForIt: isOtherThan(0), why: changesLogits },
  ignore_eos: { asksForIt: isSet, why: 'answers end at the models’ end tokens' },
  stop_token_ids: { asksForIt: isFilled, why: 'answers end at the models’ end tokens and at stop strings' },
  best_of: { asksForIt: isOtherThan(1), why: 'choices are not ranked; send n' },
  regex: { asksForIt: isFilled, why: constrains },
  ebnf: { asksForIt: isFilled, why: constrains },
  json_schema: { asksForIt: isFilled, why: constrains },
  structural_tag: { asksForIt: isFilled, why: constrains },
  response_format: {
    asksForIt: (value) => isFilled(value) && !(typeof value === 'object' && value !== null && 'type' in value && value.type === 'text'),
    why: constrains,
  },
};

export const chatRefusals: Refusals = {
  ...commonRefusals,
  tools: { asksForIt: isFilled, why: noTools },
  tool_choice: { asksForIt: isOtherThan('none', 'auto'), why: noTools },
  functions: { asksForIt: isFilled, why: noTools },
  function_call: { asksForIt: isOtherThan('none', 'auto'), why: noTools },
  audio: { asksForIt: isFilled, why: 'text only' },
};

export const completionsRefusals: Refusals = {
  ...commonRefusals,
  echo: { asksForIt: isSet, why: 'the prompt is not repeated in the answer; put it in front yourself' },
  suffix: { asksForIt: isFilled, why: 'text is continued, not filled in' },
};

/** @throws ApiError `invalid_value` naming the field, or `unsupported_parameter` */
export function readFields<T extends z.ZodType>(schema: T, body: unknown, refusals: Refusals): z.infer<T> {
  const parsed = schema.safeParse(body);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const param = issue?.path.map(String).join('.') ?? '';
    throw new ApiError('invalid_value', `${param || 'body'}: ${issue?.message ?? 'invalid'}`, { ...(param && { param }) });
  }
  refuse(body, refusals);
  return parsed.data;
}

/** @param prefix of the fields' names in the message, with its dot @throws ApiError `unsupported_parameter` */
export function refuse(body: unknown, refusals: Refusals, prefix = ''): void {
  const fields = new Map(Object.entries(body ?? {}));
  for (const [name, { asksForIt, why }] of Object.entries(refusals)) {
    const param = prefix + name;
    if (asksForIt(fields.get(name))) throw new ApiError('unsupported_parameter', `${param} is not supported: ${why}`, { param });
  }
}

/** @param randomSeed for a request that samples and names no seed */
export function samplingOf(fields: z.infer<z.ZodObject<typeof samplingFields>>, randomSeed: number): GenerationRequest['sampling'] {
  return {
    temperature: fields.temperature ?? 0,
    topP: fields.top_p ?? 1,
    topK: Math.max(0, fields.top_k ?? 0),
    seed: fields.seed ?? randomSeed,
  };
}

/** What OpenAI's two routes have in common, in our words. */
export function commonOf(fields: CommonFields, randomSeed: number) {
  return {
    model: fields.model,
    stream: fields.stream ?? false,
    includeUsage: fields.stream_options?.include_usage ?? false,
    choices: fields.n ?? 1,
    stop: [fields.stop ?? []].flat(),
    sampling: samplingOf(fields, randomSeed),
    conversation: fields.prompt_cache_key ?? undefined,
    ...routingFields(fields.r2r),
  };
}

export function routingFields(r2r: z.infer<typeof r2rField>) {
  return {
    strategy: r2r?.strategy,
    threshold: r2r?.threshold,
    options: r2r?.options,
    listTokens: r2r?.tokens ?? false,
    inlineReasoning: r2r?.inline_reasoning ?? false,
  };
}
