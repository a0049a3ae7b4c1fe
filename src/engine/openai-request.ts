import { HttpError } from './http-error.ts';
import { isObject, type JsonObject } from './request-contract.ts';

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
      `response_format ${JSON.stringify(format['type'])} is not supported by the CPU engine; leave it out, or use SGLang`,
    );
  return sampling;
}

/** Turns any refusal into OpenAI's shape. */
export function asOpenAiError(error: unknown): unknown {
  if (!(error instanceof HttpError)) return error;
  return isObject(error.body) && 'object' in error.body ? error : HttpError.openai(error.message, error.status);
}

/** Checks the content type and that the body is an object with `field`. */
export function checkBody(body: unknown, contentType: string, field: string): JsonObject {
  if (contentType !== 'application/json')
    throw HttpError.invalidBody("header content-type: Unsupported Media Type: Only 'application/json' is allowed");
  if (!isObject(body)) throw HttpError.invalidBody('body: Input should be a valid dictionary');
  if (body[field] === undefined) throw HttpError.invalidBody(`body.${field}: Field required`);
  return body;
}
