import type { GenerateBody } from './call.ts';
import { EngineError } from './errors.ts';

/** The best entries of one token's distribution, best first. */
export interface TopLogprobs {
  readonly ids: Int32Array;
  /** Natural logarithms of full-vocabulary probabilities; -Infinity where the server had none. */
  readonly logprobs: Float64Array;
}

/** One generated token and what the server told about its position. */
export interface GeneratedToken {
  readonly id: number;
  readonly top?: TopLogprobs;
  /** State after the final norm that produced this token. */
  readonly hidden?: Float32Array;
}

export interface GenerateAnswer {
  readonly tokens: readonly GeneratedToken[];
  /** `stop`: the last token is an end token; `length`: the asked number was reached. */
  readonly finish: 'stop' | 'length';
  readonly cachedTokens: number;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Checks and reads the answer to `body`. Everything that could make a wrong token look right is checked: that the answer is to this
 * request (rid, prompt length), that there is one entry a token in every list, and that each number is one.
 *
 * @throws EngineError `malformed` (partial or inconsistent) or `aborted`
 */
export function readAnswer(value: unknown, body: GenerateBody, url: string): GenerateAnswer {
  const malformed = (what: string): EngineError => new EngineError('malformed', url, `answer to /generate: ${what}`);
  const meta = record(record(value)?.['meta_info']);
  if (!meta) throw malformed('meta_info is missing');
  const finish = record(meta['finish_reason']);
  const finishType = finish?.['type'];
  if (finishType === 'abort') throw new EngineError('aborted', url, `the server aborted the request: ${String(finish?.['message'])}`);
  if (finishType !== 'stop' && finishType !== 'length') throw malformed('finish_reason is neither stop nor length');
  if (meta['id'] !== body.rid) throw malformed('meta_info.id is another request');
  if (meta['prompt_tokens'] !== body.input_ids.length)
    throw malformed(`prompt_tokens is ${String(meta['prompt_tokens'])}, sent were ${body.input_ids.length}`);
  const ids = record(value)?.['output_ids'];
  if (!Array.isArray(ids) || !ids.every((id): id is number => Number.isInteger(id) && Number(id) >= 0))
    throw malformed('output_ids is not a list of token ids');
  if (ids.length === 0 || ids.length > body.sampling_params.max_new_tokens)
    throw malformed(`output_ids has ${ids.length} tokens, asked were ${body.sampling_params.max_new_tokens}`);
  if (meta['completion_tokens'] !== ids.length)
    throw malformed(`completion_tokens is ${String(meta['completion_tokens'])}, output_ids has ${ids.length}`);

  const tops = body.top_logprobs_num ? perToken(meta['output_top_logprobs'], ids.length) : undefined;
  const states = body.return_hidden_states ? perToken(meta['hidden_states'], ids.length) : undefined;
  if (body.top_logprobs_num && !tops) throw malformed('output_top_logprobs does not have one entry a token');
  if (body.return_hidden_states && !states) throw malformed('hidden_states does not have one entry a token');
  const cached = meta['cached_tokens'];
  return {
    tokens: ids.map((id, index) => ({
      id,
      ...(tops && { top: readTop(tops[index], body.top_logprobs_num ?? 0) ?? fail(malformed(`output_top_logprobs[${index}] is damaged`)) }),
      ...(states && { hidden: readState(states[index], index) ?? fail(malformed(`hidden_states[${index}] is damaged`)) }),
    })),
    finish: finishType,
    cachedTokens: typeof cached === 'number' ? cached : 0,
  };
}

function fail(error: Error): never {
  throw error;
}

function record(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : undefined;
}

function perToken(value: unknown, tokens: number): readonly unknown[] | undefined {
  return Array.isArray(value) && value.length === tokens ? value : undefined;
}

/** `[logprob, id, text|null]` a row; infinities arrive as null because JSON has none. */
function readTop(value: unknown, count: number): TopLogprobs | undefined {
  if (!Array.isArray(value) || value.length !== count) return undefined;
  const ids = new Int32Array(count);
  const logprobs = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    const entry: unknown = value[index];
    if (!Array.isArray(entry)) return undefined;
    const [logprob, id] = entry as readonly unknown[];
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0) return undefined;
    if (typeof logprob !== 'number' && (logprob !== null || index === 0)) return undefined;
    ids[index] = id;
    logprobs[index] = logprob ?? Number.NEGATIVE_INFINITY;
  }
  return { ids, logprobs };
}

/** Element 0 holds one row for every prompt token that was not cached, of which the last counts; the others are single rows. */
function readState(value: unknown, index: number): Float32Array | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const nested = Array.isArray(value[0]);
  if (nested && index > 0) return undefined;
  const row: unknown = nested ? value.at(-1) : value;
  if (!Array.isArray(row) || row.length === 0 || !row.every((x): x is number => typeof x === 'number')) return undefined;
  return Float32Array.from(row);
}
