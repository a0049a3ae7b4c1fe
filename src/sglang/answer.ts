import type { GenerateBody } from './call.ts';
import { EngineError } from './errors.ts';
import { areFinite, descends, isTokenId, stateRows, topRows, type StateRows, type TopRows } from './number-rows.ts';
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
  /**
   * Gives back the memory of the hidden states of this token's whole answer, which nobody may look at any more. Without it that waits for a
   * garbage collection, which comes late: the states are outside the heap, where tens of megabytes of them do not press.
   */
  readonly release?: () => void;
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

/** Parts of an answer that were read before: their place in the value is not looked at. */
export interface ReadRows {
  readonly top?: TopRows | undefined;
  readonly states?: StateRows | undefined;
}

/**
 * Checks and reads an answer. Everything that could make a wrong token look right is checked: that the answer is to this request (rid,
 * prompt length), that there is one entry a token in every list, that each number is one, that distributions descend and begin with the token
 * that was taken, that all states have one width, and that the first is the prompt's last.
 *
 * @throws EngineError `malformed` (partial or inconsistent) or `aborted`
 */
export function readPacked(value: unknown, expected: ExpectedAnswer, url: string, { top, states }: ReadRows = {}): PackedAnswer {
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
    ...(expected.topLogprobs > 0 && {
      top: checkedTop(top ?? topRows(meta['output_top_logprobs'], ids.length, expected.topLogprobs), ids, expected.topLogprobs, malformed),
    }),
    ...(expected.hiddenStates && {
      hidden: checkedStates(
        states ?? stateRows(meta['hidden_states'], ids.length),
        ids.length,
        uncachedTokens(expected, cached),
        malformed,
      ),
    }),
  };
}

function record(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : undefined;
}

/** Tokens of the prompt that had to be read; undefined when the server does not say. */
function uncachedTokens({ promptTokens }: ExpectedAnswer, cached: unknown): number | undefined {
  return typeof cached === 'number' ? promptTokens - cached : undefined;
}

function checkedTop(
  rows: TopRows | undefined,
  tokens: readonly number[],
  count: number,
  malformed: (what: string) => Error,
): PackedAnswer['top'] {
  if (rows?.tokens !== tokens.length) throw malformed('output_top_logprobs does not have one entry a token');
  for (const [index, token] of tokens.entries()) {
    const [from, to] = [index * count, (index + 1) * count];
    const logprobs = rows.logprobs.subarray(from, to);
    if (index === rows.damaged || !descends(logprobs)) throw malformed(`output_top_logprobs[${index}] is damaged`);
    if (!isBest(token, rows.ids.subarray(from, to), logprobs))
      throw malformed(`output_ids[${index}] is not the best of output_top_logprobs[${index}]: the server does not decode greedily`);
  }
  return { count, ids: rows.ids, logprobs: rows.logprobs };
}

/** @param uncached tokens of the prompt that had to be read */
function checkedStates(
  rows: StateRows | undefined,
  tokens: number,
  uncached: number | undefined,
  malformed: (what: string) => Error,
): PackedAnswer['hidden'] {
  if (rows?.tokens !== tokens) throw malformed('hidden_states does not have one entry a token');
  const { promptRows, width, values, damaged } = rows;
  // A prompt read in several passes has the states of one of them here: of the last in some versions, of the first in others, whose last
  // row is then in the middle of the prompt. The next try finds the prompt cached, and gets one row.
  if (uncached !== undefined && promptRows !== undefined && promptRows < uncached)
    throw malformed(`hidden_states[0] has ${promptRows} rows of ${uncached} prompt tokens that were read`);
  for (let index = 0; index < tokens; index++)
    if (index === damaged || !areFinite(values.subarray(index * width, (index + 1) * width)))
      throw malformed(`hidden_states[${index}] is damaged`);
  return { width, values };
}

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
