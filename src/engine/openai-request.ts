import { HttpError } from './http-error.ts';
import type { HttpExchange } from './http-exchange.ts';
import { isObject, type JsonObject } from './json-object.ts';
import * as lax from './lax-schema.ts';
import type { LaxSchema } from './lax-schema.ts';

/** Reads the fields that chat and plain completions share. Throws `HttpError` with OpenAI's shape for what cannot be done. */
export interface OpenAiOptions {
  readonly model: string;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly hiddenStates: boolean;
}

const own = ['temperature', 'top_p', 'top_k', 'min_p', 'repetition_penalty'] as const;
/** Fields that mean the same to the native API. */
const passed = [
  'frequency_penalty',
  'presence_penalty',
  'stop',
  'stop_token_ids',
  'n',
  'ignore_eos',
  'skip_special_tokens',
  'no_stop_trim',
  'logit_bias',
  'regex',
  'ebnf',
  'stop_regex',
] as const;

export function readOptions(body: JsonObject): OpenAiOptions {
  const { model, stream, stream_options: streamOptions, return_hidden_states: hiddenStates } = body;
  return {
    model: typeof model === 'string' ? model : 'default',
    stream: stream === true,
    includeUsage: isObject(streamOptions) && streamOptions['include_usage'] === true,
    hiddenStates: hiddenStates === true,
  };
}

/** Native sampling parameters of an OpenAI body. Explicit values win over the model's own defaults, those over SGLang's. */
export function samplingOf(body: JsonObject, defaults: Readonly<Record<string, number>>, maxNewTokens: unknown): Record<string, unknown> {
  const sampling: Record<string, unknown> = { max_new_tokens: maxNewTokens ?? null };
  for (const key of own) sampling[key] = body[key] ?? defaults[key];
  for (const key of passed) if (body[key] !== undefined && body[key] !== null) sampling[key] = body[key];
  if (typeof body['min_tokens'] === 'number') sampling['min_new_tokens'] = body['min_tokens'];
  if (typeof body['seed'] === 'number') sampling['sampling_seed'] = body['seed'];
  const format = body['response_format'];
  if (isObject(format) && format['type'] !== 'text')
    throw HttpError.openai(
      `response_format ${typeof format['type'] === 'string' ? format['type'] : ''} is not supported by the CPU engine; leave it out, or use SGLang`,
    );
  return sampling;
}

/** Turns any refusal into OpenAI's shape. */
export function asOpenAiError(error: unknown): unknown {
  if (!(error instanceof HttpError)) return error;
  return isObject(error.body) && 'object' in error.body ? error : HttpError.openai(error.message, error.status);
}

const stops = lax.oneOf(lax.string, lax.listOf(lax.string));
const shared: LaxSchema['fields'] = {
  model: lax.string,
  stream: lax.boolean,
  stream_options: lax.object,
  return_hidden_states: lax.oneOf(lax.boolean, lax.string),
  temperature: lax.float,
  top_p: lax.float,
  top_k: lax.integer,
  min_p: lax.float,
  repetition_penalty: lax.float,
  frequency_penalty: lax.float,
  presence_penalty: lax.float,
  max_tokens: lax.integer,
  min_tokens: lax.integer,
  n: lax.integer,
  seed: lax.integer,
  stop: stops,
  stop_token_ids: lax.listOf(lax.integer),
  logit_bias: lax.object,
  ignore_eos: lax.boolean,
  skip_special_tokens: lax.boolean,
  no_stop_trim: lax.boolean,
  response_format: lax.object,
  rid: stops,
};

export const chatSchema: LaxSchema = {
  fields: {
    ...shared,
    messages: lax.listOf(lax.object),
    max_completion_tokens: lax.integer,
    logprobs: lax.boolean,
    top_logprobs: lax.integer,
    chat_template_kwargs: lax.object,
    tools: lax.listOf(lax.object),
  },
  required: ['messages'],
};

export const completionSchema: LaxSchema = {
  fields: {
    ...shared,
    prompt: lax.oneOf(lax.listOf(lax.integer), lax.listOf(lax.listOf(lax.integer)), lax.string, lax.listOf(lax.string)),
    logprobs: lax.integer,
    echo: lax.boolean,
  },
  required: ['prompt'],
};

/** Checks the content type and reads the body. */
export async function readBody(exchange: HttpExchange, schema: LaxSchema): Promise<JsonObject> {
  const body = await exchange.json();
  if (exchange.contentType !== 'application/json')
    throw HttpError.invalidBody("header content-type: Unsupported Media Type: Only 'application/json' is allowed");
  return lax.readLax(body, schema);
}
