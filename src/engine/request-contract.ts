import { HttpError } from './http-error.ts';

/** A JSON object as it came, its fields not yet looked at. */
export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

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
  return_flat_raw_top_logprobs: boolean,
  return_flat_raw_output_top_logprobs: boolean,
  return_flat_raw_top_logprobs_b64: boolean,
};

/** Fields whose type is checked before anything else, with the web framework's error. */
function checkBody(body: unknown): JsonObject {
  if (!isObject(body))
    throw HttpError.invalidBody('1 validation error: body: Input should be a dictionary or an instance of GenerateReqInput');
  const { text, input_ids: ids, sampling_params: sampling, rid } = body;
  const strings = (value: unknown) => isString(value) || (Array.isArray(value) && value.every(isString));
  for (const [name, value] of Object.entries({ text, rid })) {
    if (value !== undefined && value !== null && !strings(value))
      throw HttpError.invalidBody(`${name}: Input should be a valid string or a list of strings`);
  }
  if (ids !== undefined && ids !== null) {
    if (!Array.isArray(ids)) throw HttpError.invalidBody('input_ids: must be list or null');
    const rows = Array.isArray(ids[0]) ? ids : [ids];
    if (!rows.every((row) => Array.isArray(row) && row.every(Number.isInteger)))
      throw HttpError.invalidBody('input_ids: contains non-int64 element');
  }
  if (sampling !== undefined && sampling !== null && !isObject(sampling) && !(Array.isArray(sampling) && sampling.every(isObject))) {
    throw HttpError.invalidBody('sampling_params: Input should be a valid dictionary or a list of them');
  }
  return body;
}

/**
 * Checks the types of a `/generate` body, in the order and the words of SGLang 0.5.23. Unknown fields are ignored, except in
 * `sampling_params`. Throws `HttpError`.
 */
export function checkGenerateContract(body: unknown): JsonObject {
  const object = checkBody(body);
  for (const [key, check] of Object.entries(requestFields)) {
    const value = object[key];
    if (value !== undefined && value !== null) check(value);
  }
  return object;
}
