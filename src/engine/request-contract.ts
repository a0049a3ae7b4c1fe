import { HttpError } from './http-error.ts';
import { isObject, type JsonObject } from './json-object.ts';
import * as lax from './lax-schema.ts';

/** What a value is, in the words SGLang's schema checker uses. */
function describe(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'boolean') return `boolean \`${value}\``;
  if (typeof value === 'number') return Number.isInteger(value) ? `integer \`${value}\`` : `floating point \`${value}\``;
  if (typeof value === 'string') return `string ${JSON.stringify(value)}`;
  return Array.isArray(value) ? 'sequence' : 'map';
}

function invalidType(value: unknown, expected: string): HttpError {
  return HttpError.contract(`invalid type: ${describe(value)}, expected ${expected}`);
}

type Check = (value: unknown) => void;

const scalar =
  (accepts: (value: unknown) => boolean, expected: string): Check =>
  (value) => {
    if (!accepts(value)) throw invalidType(value, expected);
  };
const isString = (value: unknown) => typeof value === 'string';
const isBoolean = (value: unknown) => typeof value === 'boolean';
const isNumber = (value: unknown) => typeof value === 'number';
const boolean = scalar(isBoolean, 'a boolean');
const integer = scalar(Number.isInteger, 'i64');
const float = scalar(isNumber, 'f64');
const string = scalar(isString, 'a string');
const listOf =
  (item: Check): Check =>
  (value) => {
    if (!Array.isArray(value)) throw invalidType(value, 'a sequence');
    value.forEach((each) => item(each));
  };
const oneOrList =
  (name: string, accepts: (value: unknown) => boolean, item: Check): Check =>
  (value) => {
    if (Array.isArray(value)) listOf(item)(value);
    else if (!accepts(value)) throw invalidType(value, `a value or an array of values for ${name}`);
  };
const stringOrList = oneOrList('StringOrList', isString, string);
const booleanOrList = oneOrList('BoolOrList', isBoolean, boolean);
const integerOrList = oneOrList('Int64OrList', Number.isInteger, integer);
const anything: Check = () => undefined;
const tokenIdsOrList: Check = (value) => {
  if (!Array.isArray(value)) throw invalidType(value, 'a value or an array of values for TokenIdsOrList');
  value.forEach((each) => (Array.isArray(value[0]) ? listOf(integer) : integer)(each));
};

const samplingFields: Readonly<Record<string, Check>> = {
  max_new_tokens: integer,
  stop: stringOrList,
  stop_token_ids: listOf(integer),
  stop_regex: stringOrList,
  temperature: float,
  top_p: float,
  top_k: integer,
  min_p: float,
  frequency_penalty: float,
  presence_penalty: float,
  repetition_penalty: float,
  min_new_tokens: integer,
  n: integer,
  json_schema: string,
  regex: string,
  ebnf: string,
  structural_tag: string,
  ignore_eos: boolean,
  skip_special_tokens: boolean,
  spaces_between_special_tokens: boolean,
  no_stop_trim: boolean,
  stream_interval: integer,
  logit_bias(value) {
    if (!isObject(value)) throw invalidType(value, 'a map');
    Object.values(value).forEach((bias) => float(bias));
  },
  sampling_seed: integer,
  custom_params: anything,
  beam_width: integer,
  watermark: anything,
  choice: listOf(string),
};

function checkSampling(value: unknown): void {
  if (!isObject(value)) throw invalidType(value, 'a value or an array of values for SamplingParamsOrList');
  for (const [key, field] of Object.entries(value)) {
    const check = Object.hasOwn(samplingFields, key) ? samplingFields[key] : undefined;
    if (!check) {
      const known = Object.keys(samplingFields).map((name) => `\`${name}\``);
      throw HttpError.contract(`unknown field \`${key}\`, expected one of ${known.join(', ')}`);
    }
    if (field !== null) check(field);
  }
}

const requestFields: Readonly<Record<string, Check>> = {
  rid: stringOrList,
  text: stringOrList,
  input_ids: tokenIdsOrList,
  stream: boolean,
  sampling_params: (value) => (Array.isArray(value) ? value.forEach(checkSampling) : checkSampling(value)),
  return_logprob: booleanOrList,
  logprob_start_len: integerOrList,
  top_logprobs_num: integerOrList,
  token_ids_logprob: tokenIdsOrList,
  return_hidden_states: booleanOrList,
  return_text_in_logprobs: boolean,
  return_prompt_token_ids: boolean,
  extra_key: stringOrList,
  return_flat_raw_top_logprobs: boolean,
  return_flat_raw_output_top_logprobs: boolean,
  return_flat_raw_top_logprobs_b64: boolean,
};

const booleans = lax.oneOf(lax.boolean, lax.listOf(lax.boolean));
const integers = lax.oneOf(lax.integer, lax.listOf(lax.integer));
const strings = lax.oneOf(lax.string, lax.listOf(lax.string));
/** What the web framework checks before the contract is looked at. */
const framework: lax.LaxSchema = {
  fields: {
    rid: strings,
    text: strings,
    sampling_params: lax.oneOf(lax.object, lax.listOf(lax.object)),
    stream: lax.boolean,
    return_logprob: booleans,
    logprob_start_len: integers,
    top_logprobs_num: integers,
    token_ids_logprob: lax.oneOf(lax.listOf(lax.integer), lax.listOf(lax.listOf(lax.integer))),
    // "last" passes here and fails the contract
    return_hidden_states: lax.oneOf(booleans, lax.string),
    return_text_in_logprobs: lax.boolean,
    return_prompt_token_ids: lax.boolean,
    extra_key: strings,
  },
  notNull: ['stream', 'return_hidden_states', 'return_text_in_logprobs', 'return_prompt_token_ids'],
};

function checkInputIds(ids: unknown): void {
  if (ids === undefined || ids === null) return;
  if (!Array.isArray(ids)) throw HttpError.invalidBody('input_ids: must be list or null');
  const rows: readonly unknown[] = Array.isArray(ids[0]) ? ids : [ids];
  if (!rows.every((row) => Array.isArray(row) && row.every(Number.isInteger)))
    throw HttpError.invalidBody('input_ids: contains non-int64 element');
}

/**
 * Checks the types of a `/generate` body, in the order and the words of SGLang 0.5.23. Unknown fields are ignored, except in
 * `sampling_params`. Throws `HttpError`.
 */
export function checkGenerateContract(body: unknown): JsonObject {
  lax.readLax(body, framework);
  const object = body as JsonObject;
  checkInputIds(object['input_ids']);
  for (const [key, check] of Object.entries(requestFields)) {
    const value = object[key];
    if (value !== undefined && value !== null) check(value);
  }
  return object;
}
