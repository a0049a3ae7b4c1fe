import { EngineError } from './errors.ts';
import { messageOf } from './exchange.ts';
import { areFinite, descends, stateRows, topRows, type StateRows, type TopRows } from './number-rows.ts';
import { scanPrefill } from './prefill-scanner.ts';
import type { PrefillBody, PrefilledRow } from './prefill.ts';

/** What a server made of a prefill. */
export interface PrefilledTokens {
  /** Undefined when there are not states of all tokens asked for. */
  readonly rows?: readonly PrefilledRow[];
  /** Tokens at the end of the sequence that the server gave states of. */
  readonly stateRows: number;
  readonly cachedTokens: number;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads the answer to a prefill. The server's lists begin with the token at `from`: entry i of the log-probabilities is the prediction *of* that
 * token, made at the one before it, so that entry i belongs to row i - 1, the first entry is empty and the last row's distribution is that of the
 * token that was generated. The states are those of all tokens that were not cached, of which the last ones are wanted.
 *
 * Checked is what could make a wrong row look right: that the answer is to this request, that its lists are those of these very tokens, that
 * distributions descend and that numbers are numbers.
 *
 * @throws EngineError `malformed` (partial or inconsistent) or `aborted`
 */
export function readPrefill(
  bytes: Uint8Array,
  body: PrefillBody,
  server: { readonly url: string; readonly vocabSize: number },
): PrefilledTokens {
  const malformed = (what: string, cause?: unknown): EngineError =>
    new EngineError('malformed', server.url, `answer to /generate: ${what}`, cause === undefined ? {} : { cause });
  const { input_ids: ids, logprob_start_len: from, top_logprobs_num: count } = body;
  const tokens = ids.length - from;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const scanned = scanPrefill(text, tokens, count);
  const value = scanned ? scanned.value : parsed(text, malformed);
  const meta = record(record(value)?.['meta_info']);
  if (!meta) throw malformed('meta_info is missing');
  const finish = record(meta['finish_reason']);
  if (finish?.['type'] === 'abort')
    throw new EngineError('aborted', server.url, `the server aborted the request: ${String(finish['message'])}`);
  if (meta['id'] !== body.rid) throw malformed('meta_info.id is another request');
  if (meta['prompt_tokens'] !== ids.length) throw malformed(`prompt_tokens is ${String(meta['prompt_tokens'])}, sent were ${ids.length}`);
  checkTokens(meta['input_token_logprobs'], ids.slice(from), server.vocabSize, malformed);
  const cached = meta['cached_tokens'];
  const states = scanned?.states ?? promptStates(meta['hidden_states']);
  if (!states) throw malformed('hidden_states is not one list of states');
  const found = { stateRows: states.tokens, cachedTokens: typeof cached === 'number' ? cached : 0 };
  // A prompt read in several passes has the states of one of them here, and one that was cached after all has too few.
  if (states.tokens < tokens || (typeof cached === 'number' && states.tokens < ids.length - cached)) return found;
  if (typeof cached === 'number' && states.tokens > ids.length - cached)
    throw malformed(`hidden_states has ${states.tokens} rows of ${ids.length - cached} tokens that were read`);
  const top = scanned?.top ?? distributions(meta, tokens, count);
  if (!top) throw malformed('input_top_logprobs and output_top_logprobs do not have one entry a token');
  return { ...found, rows: checkedRows(top, states, { from, tokens, count }, malformed) };
}

function parsed(text: Buffer, malformed: (what: string, cause: unknown) => Error): unknown {
  try {
    return JSON.parse(text.toString('utf8'));
  } catch (cause) {
    throw malformed(`it is not JSON: ${messageOf(cause)}`, cause);
  }
}

function record(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null ? (value as Json) : undefined;
}

/** `[[null,id,null],[logprob,id,null],…]`: that the entries are of these tokens. SGLang says 0 for the last id of the vocabulary. */
function checkTokens(value: unknown, tokens: readonly number[], vocabSize: number, malformed: (what: string) => Error): void {
  const entries = Array.isArray(value) ? (value as readonly unknown[]) : [];
  if (entries.length !== tokens.length) throw malformed(`input_token_logprobs has ${entries.length} entries for ${tokens.length} tokens`);
  const wrong = tokens.findIndex((token, index) => {
    const entry = entries[index];
    const id: unknown = Array.isArray(entry) ? entry[1] : undefined;
    return id !== token && !(id === 0 && token === vocabSize - 1);
  });
  if (wrong >= 0) throw malformed(`input_token_logprobs[${wrong}] is of another token than ${tokens[wrong]}`);
}

/** Of the one pass over the prompt. */
function promptStates(value: unknown): StateRows | undefined {
  const rows: unknown = Array.isArray(value) && value.length === 1 ? value[0] : undefined;
  return Array.isArray(rows) && rows.length > 0 ? stateRows(rows, rows.length) : undefined;
}

/** The entries behind the first one, which is empty, and that of the generated token. */
function distributions(meta: Json, tokens: number, count: number): TopRows | undefined {
  const { input_top_logprobs: input, output_top_logprobs: output } = meta;
  if (!Array.isArray(input) || input[0] !== null || !Array.isArray(output)) return undefined;
  return topRows([...(input as readonly unknown[]).slice(1), ...(output as readonly unknown[])], tokens, count);
}

function checkedRows(
  top: TopRows,
  states: StateRows,
  { from, tokens, count }: { readonly from: number; readonly tokens: number; readonly count: number },
  malformed: (what: string) => Error,
): PrefilledRow[] {
  const skipped = states.tokens - tokens;
  return Array.from({ length: tokens }, (_, index) => {
    const [ids, logprobs] = [top.ids, top.logprobs].map((values) => values.subarray(index * count, (index + 1) * count)) as [
      Int32Array,
      Float64Array,
    ];
    if ((top.damaged ?? tokens) <= index || !descends(logprobs))
      throw malformed(`the distribution behind token ${from + index} is damaged`);
    const hidden = states.values.subarray((skipped + index) * states.width, (skipped + index + 1) * states.width);
    if ((states.damaged ?? states.tokens) <= skipped + index || !areFinite(hidden))
      throw malformed(`the state of token ${from + index} is damaged`);
    return { top: { ids, logprobs }, hidden };
  });
}
