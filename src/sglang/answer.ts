import type { GenerateBody } from './call.ts';
import { EngineError } from './errors.ts';
import { unpackAnswer, type PackedAnswer } from './packed-answer.ts';

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
  /** Where the time of the call went. */
  readonly cost?: AnswerCost;
}

export interface AnswerCost {
  /** From the first byte sent to the last byte received. */
  readonly wireMs: number;
  /** Parsing and checking, without the way to another thread and back. */
  readonly decodeMs: number;
  /** Length of the JSON text. */
  readonly bytes: number;
}

/** What a right answer to a call looks like. */
export interface ExpectedAnswer {
  readonly rid: string;
  readonly promptTokens: number;
  readonly maxNewTokens: number;
  /** 0: none. */
  readonly topLogprobs: number;
  readonly hiddenStates: boolean;
}

type Json = Readonly<Record<string, unknown>>;

export function expectedAnswer(body: GenerateBody): ExpectedAnswer {
  return {
    rid: body.rid,
    promptTokens: body.input_ids.length,
    maxNewTokens: body.sampling_params.max_new_tokens,
    topLogprobs: body.top_logprobs_num ?? 0,
    hiddenStates: body.return_hidden_states ?? false,
  };
}

/** Checks and reads the answer to `body`, as {@link readPacked} does. */
export function readAnswer(value: unknown, body: GenerateBody, url: string): GenerateAnswer {
  return unpackAnswer(readPacked(value, expectedAnswer(body), url));
}

/**
 * Checks and reads an answer. Everything that could make a wrong token look right is checked: that the answer is to this request (rid,
 * prompt length), that there is one entry a token in every list, that each number is one, that distributions descend and begin with the token
 * that was taken, that all states have one width, and that the first is the prompt's last.
 *
 * @throws EngineError `malformed` (partial or inconsistent) or `aborted`
 */
export function readPacked(value: unknown, expected: ExpectedAnswer, url: string): PackedAnswer {
  const malformed = (what: string): EngineError => new EngineError('malformed', url, `answer to /generate: ${what}`);
  const meta = record(record(value)?.['meta_info']);
  if (!meta) throw malformed('meta_info is missing');
  const finish = record(meta['finish_reason']);
  const finishType = finish?.['type'];
  if (finishType === 'abort') throw new EngineError('aborted', url, `the server aborted the request: ${String(finish?.['message'])}`);
  if (finishType !== 'stop' && finishType !== 'length') throw malformed('finish_reason is neither stop nor length');
  if (meta['id'] !== expected.rid) throw malformed('meta_info.id is another request');
  if (meta['prompt_tokens'] !== expected.promptTokens)
    throw malformed(`prompt_tokens is ${String(meta['prompt_tokens'])}, sent were ${expected.promptTokens}`);
  const ids = record(value)?.['output_ids'];
  if (!Array.isArray(ids) || !ids.every(isTokenId)) throw malformed('output_ids is not a list of token ids');
  if (ids.length === 0 || ids.length > expected.maxNewTokens)
    throw malformed(`output_ids has ${ids.length} tokens, asked were ${expected.maxNewTokens}`);
  if (meta['completion_tokens'] !== ids.length)
    throw malformed(`completion_tokens is ${String(meta['completion_tokens'])}, output_ids has ${ids.length}`);
  const cached = meta['cached_tokens'];
  return {
    ids: Int32Array.from(ids),
    finish: finishType,
    cachedTokens: typeof cached === 'number' ? cached : 0,
    ...(expected.topLogprobs > 0 && readTops(meta['output_top_logprobs'], ids, expected.topLogprobs, malformed)),
    ...(expected.hiddenStates && readStates(meta['hidden_states'], ids.length, uncachedTokens(expected, cached), malformed)),
  };
}

function record(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : undefined;
}

function isTokenId(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0x7fffffff;
}

function perToken(value: unknown, tokens: number): readonly unknown[] | undefined {
  return Array.isArray(value) && value.length === tokens ? value : undefined;
}

/** Tokens of the prompt that had to be read; undefined when the server does not say. */
function uncachedTokens({ promptTokens }: ExpectedAnswer, cached: unknown): number | undefined {
  return typeof cached === 'number' ? promptTokens - cached : undefined;
}

function readTops(value: unknown, tokens: readonly number[], count: number, malformed: (what: string) => Error): Pick<PackedAnswer, 'top'> {
  const rows = perToken(value, tokens.length);
  if (!rows) throw malformed('output_top_logprobs does not have one entry a token');
  const ids = new Int32Array(tokens.length * count);
  const logprobs = new Float64Array(tokens.length * count);
  for (const [index, row] of rows.entries()) {
    const [from, to] = [index * count, (index + 1) * count];
    if (!readTop(row, ids.subarray(from, to), logprobs.subarray(from, to))) throw malformed(`output_top_logprobs[${index}] is damaged`);
    if (!isBest(tokens[index], ids.subarray(from, to), logprobs.subarray(from, to)))
      throw malformed(`output_ids[${index}] is not the best of output_top_logprobs[${index}]: the server does not decode greedily`);
  }
  return { top: { count, ids, logprobs } };
}

/** @param uncached tokens of the prompt that had to be read */
function readStates(
  value: unknown,
  tokens: number,
  uncached: number | undefined,
  malformed: (what: string) => Error,
): Pick<PackedAnswer, 'hidden'> {
  const rows = perToken(value, tokens);
  if (!rows) throw malformed('hidden_states does not have one entry a token');
  // A prompt read in several passes has the states of one of them here: of the last in some versions, of the first in others, whose last
  // row is then in the middle of the prompt. The next try finds the prompt cached, and gets one row.
  const first: unknown = rows[0];
  if (uncached !== undefined && Array.isArray(first) && Array.isArray(first[0]) && first.length < uncached)
    throw malformed(`hidden_states[0] has ${first.length} rows of ${uncached} prompt tokens that were read`);
  let width = 0;
  let values = new Float32Array();
  for (const [index, entry] of rows.entries()) {
    const row = lastState(entry, index);
    if (index === 0 && row) {
      width = row.length;
      values = new Float32Array(tokens * width);
    }
    if (!row || row.length !== width || !copyNumbers(row, values, index * width)) throw malformed(`hidden_states[${index}] is damaged`);
  }
  return { hidden: { width, values } };
}

/** `[logprob, id, text|null]` an entry; infinities arrive as null because JSON has none. */
function readTop(value: unknown, ids: Int32Array, logprobs: Float64Array): boolean {
  if (!Array.isArray(value) || value.length !== ids.length) return false;
  for (let index = 0; index < ids.length; index++) {
    const entry: unknown = value[index];
    if (!Array.isArray(entry)) return false;
    const [logprob, id] = entry as readonly unknown[];
    if (!isTokenId(id)) return false;
    if (typeof logprob !== 'number' && (logprob !== null || index === 0)) return false;
    ids[index] = id;
    logprobs[index] = logprob ?? Number.NEGATIVE_INFINITY;
    if ((logprobs[index - 1] ?? maxLogprob) < (logprobs[index] ?? 0)) return false;
  }
  return true;
}

/** Zero but for rounding. */
const maxLogprob = 1e-3;
/** Equal logits may become log-probabilities that differ in the last bits. */
const tieNats = 1e-3;

/** Whether a token is the first of its distribution, or ties with it. */
function isBest(token: number | undefined, ids: Int32Array, logprobs: Float64Array): boolean {
  for (let index = 0; index < ids.length; index++) {
    if ((logprobs[index] ?? 0) < (logprobs[0] ?? 0) - tieNats) return false;
    if (ids[index] === token) return true;
  }
  // All of them tie: the token may be one more.
  return true;
}

/** Element 0 holds one row for every prompt token that was not cached, of which the last counts; the others are single rows. */
function lastState(value: unknown, index: number): readonly unknown[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const nested = Array.isArray(value[0]);
  if (nested && index > 0) return undefined;
  const row: unknown = nested ? value.at(-1) : value;
  return Array.isArray(row) && row.length > 0 ? row : undefined;
}

function copyNumbers(from: readonly unknown[], to: Float32Array, offset: number): boolean {
  for (let index = 0; index < from.length; index++) {
    const value = from[index];
    if (typeof value !== 'number') return false;
    to[offset + index] = value;
    if (!Number.isFinite(to[offset + index])) return false;
  }
  return true;
}
