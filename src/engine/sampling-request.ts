import type { Tokenizer } from '../model/tokenizer.ts';
import { HttpError } from './http-error.ts';
import type { JsonObject } from './json-object.ts';
import type { SamplingParams } from './sampling-params.ts';

const maxStops = 32;
/** Below this a temperature means greedy. */
const greedyBelow = 1e-6;

export interface SamplingLimits {
  readonly vocabSize: number;
  readonly contextLength: number;
  /** Most tokens of a prompt and its answer that the server can hold. */
  readonly maxRequestLength: number;
}

function number(fields: JsonObject, key: string, otherwise: number): number {
  const value = fields[key];
  return typeof value === 'number' ? value : otherwise;
}

function list(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

const isNumber = (value: unknown): value is number => typeof value === 'number';
const isString = (value: unknown): value is string => typeof value === 'string';

/** Names the first of `refusals` whose condition holds. */
function refuseFirst(refusals: readonly (readonly [refused: boolean, message: string])[]): void {
  const refusal = refusals.find(([refused]) => refused);
  if (refusal) throw HttpError.refused(refusal[1]);
}

function refuseUnsupported(fields: JsonObject): void {
  const grammar = ['json_schema', 'regex', 'ebnf', 'structural_tag', 'stop_regex'].find((key) => Boolean(fields[key]));
  refuseFirst([
    [grammar !== undefined, `sampling_params.${grammar ?? ''} is not supported by the CPU engine; leave it out, or use SGLang`],
    [number(fields, 'beam_width', 1) > 1, 'sampling_params.beam_width is not supported by the CPU engine; leave it out, or use SGLang'],
    [
      fields['watermark'] !== undefined && fields['watermark'] !== null,
      'sampling_params.watermark is not supported by the CPU engine; leave it out, or use SGLang',
    ],
  ]);
}

function parseLogitBias(value: unknown, vocabSize: number): [number, number][] {
  return Object.entries((value ?? {}) as Readonly<Record<string, unknown>>).map(([key, bias]) => {
    if (!isNumber(bias) || !Number.isFinite(bias))
      throw HttpError.refused(`logit_bias must have finite numbers as values, got one that is none at ${key}.`);
    if (!/^[+-]?\d+$/.test(key.trim())) throw HttpError.refused(`invalid literal for int() with base 10: '${key}'`);
    const id = Number(key);
    if (id < 0 || id >= vocabSize) throw HttpError.refused(`logit_bias must has keys in [0, ${vocabSize - 1}], got ${key}.`);
    return [id, bias];
  });
}

/** Refuses a prompt that is too long, or leaves no room for what is asked of it. */
export function checkLength(promptLength: number, maxNewTokens: unknown, { contextLength }: SamplingLimits): void {
  const wanted = isNumber(maxNewTokens) ? maxNewTokens : 0;
  const total = promptLength + wanted;
  refuseFirst([
    [
      promptLength >= contextLength,
      `The input (${promptLength} tokens) is longer than the model's context length (${contextLength} tokens).`,
    ],
    [
      total > contextLength,
      `Requested token count exceeds the model's maximum context length of ${contextLength} tokens. You requested a total of ${total} tokens: ${promptLength} tokens from the input messages and ${wanted} tokens for the completion. Please reduce the number of tokens in the input messages or the completion to fit within the limit.`,
    ],
  ]);
}

/**
 * Fills in defaults and checks ranges, in SGLang's order and words. `maxNewTokens` is cut to what the context leaves for the prompt.
 * Throws `HttpError`.
 */
export function parseSampling(fields: JsonObject, promptLength: number, tokenizer: Tokenizer, limits: SamplingLimits): SamplingParams {
  refuseUnsupported(fields);
  const asked = fields['max_new_tokens'];
  const wanted = asked === undefined ? 128 : isNumber(asked) ? asked : Infinity;
  const temperature = number(fields, 'temperature', 1);
  const greedy = temperature >= 0 && temperature < greedyBelow;
  const topK = greedy ? 1 : number(fields, 'top_k', -1);
  const topP = number(fields, 'top_p', 1);
  const minP = number(fields, 'min_p', 0);
  const frequencyPenalty = number(fields, 'frequency_penalty', 0);
  const presencePenalty = number(fields, 'presence_penalty', 0);
  const repetitionPenalty = number(fields, 'repetition_penalty', 1);
  const minNewTokens = number(fields, 'min_new_tokens', 0);
  const stop = list(fields['stop']).filter(isString);
  refuseFirst([
    [temperature < 0 || !Number.isFinite(temperature), `temperature must be a non-negative finite number, got ${temperature}.`],
    [topP <= 0 || topP > 1, `top_p must be in (0, 1], got ${topP}.`],
    [minP < 0 || minP > 1, `min_p must be in [0, 1], got ${minP}.`],
    [topK < 1 && topK !== -1, `top_k must be -1 (disable) or at least 1, got ${topK}.`],
    [Math.abs(frequencyPenalty) > 2, `frequency_penalty must be in [-2, 2], got ${frequencyPenalty}.`],
    [Math.abs(presencePenalty) > 2, `presence_penalty must be in [-2, 2], got ${presencePenalty}.`],
    [repetitionPenalty <= 0 || repetitionPenalty > 2, `repetition_penalty must be in (0, 2] (1.0 = no penalty), got ${repetitionPenalty}.`],
    [minNewTokens < 0, `min_new_tokens must be in [0, max_new_tokens], got ${minNewTokens}.`],
    [wanted < 0, `max_new_tokens must be at least 0, got ${wanted}.`],
    [minNewTokens > wanted, `min_new_tokens must be in [0, max_new_tokens(${wanted})], got ${minNewTokens}.`],
    [stop.length > maxStops, `at most ${maxStops} stop strings are allowed, got ${stop.length}`],
  ]);
  const maxNewTokens = Math.max(0, Math.min(wanted, limits.maxRequestLength - promptLength - 1));
  const seed = fields['sampling_seed'];
  return {
    maxNewTokens,
    minNewTokens: Math.min(minNewTokens, maxNewTokens),
    temperature: greedy ? 1 : temperature,
    topP,
    topK: topK === -1 ? Infinity : topK,
    minP,
    frequencyPenalty,
    presencePenalty,
    repetitionPenalty,
    logitBias: parseLogitBias(fields['logit_bias'], limits.vocabSize),
    stop,
    stopTokens: Math.max(0, ...stop.map((text) => tokenizer.encode(text).length)),
    stopTokenIds: list(fields['stop_token_ids']).filter(isNumber),
    ignoreEos: fields['ignore_eos'] === true,
    noStopTrim: fields['no_stop_trim'] === true,
    skipSpecialTokens: fields['skip_special_tokens'] !== false,
    streamInterval: number(fields, 'stream_interval', 1) || 1,
    seed: isNumber(seed) ? seed : undefined,
  };
}
