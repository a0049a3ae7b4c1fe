/** The numbers of an answer by tokens, in large arrays: as the text says, not yet checked beside the rest of the answer. */

/** Best entries of each token's distribution; ids and logprobs are both [tokens, count]. */
export interface TopRows {
  readonly tokens: number;
  readonly ids: Int32Array<ArrayBuffer>;
  /** -Infinity where the text has null: JSON has no infinities. */
  readonly logprobs: Float64Array<ArrayBuffer>;
  /** The first token whose row is not one; nothing is said of the rows from there on. */
  readonly damaged?: number;
}

/** The states of the tokens: values are [tokens, width]. */
export interface StateRows {
  readonly tokens: number;
  /** How many rows there are for the first token; its own is the last. Undefined where it has no list of rows. */
  readonly promptRows?: number | undefined;
  readonly width: number;
  readonly values: Float32Array<ArrayBuffer>;
  /** The first token whose row is not one; nothing is said of the rows from there on. */
  readonly damaged?: number;
}

/** @returns undefined when it is not a list of so many tokens */
export function topRows(value: unknown, tokens: number, count: number): TopRows | undefined {
  const rows = perToken(value, tokens);
  if (!rows) return undefined;
  const ids = new Int32Array(tokens * count);
  const logprobs = new Float64Array(tokens * count);
  const damaged = rows.findIndex((row, index) => {
    const [from, to] = [index * count, (index + 1) * count];
    return !readTop(row, ids.subarray(from, to), logprobs.subarray(from, to));
  });
  return { tokens, ids, logprobs, ...(damaged >= 0 && { damaged }) };
}

/** @returns undefined when it is not a list of so many tokens */
export function stateRows(value: unknown, tokens: number): StateRows | undefined {
  const rows = perToken(value, tokens);
  if (!rows) return undefined;
  const first: unknown = rows[0];
  const promptRows = Array.isArray(first) && Array.isArray(first[0]) ? first.length : undefined;
  const width = lastState(first, 0)?.length ?? 0;
  const values = new Float32Array(tokens * width);
  const damaged = rows.findIndex((entry, index) => {
    const row = lastState(entry, index);
    return row?.length !== width || !copyNumbers(row, values, index * width);
  });
  return { tokens, promptRows, width, values, ...(damaged >= 0 && { damaged }) };
}

/** Whether log-probabilities are in order, best first. */
export function descends(logprobs: Float64Array): boolean {
  let above = maxLogprob;
  for (let index = 0; index < logprobs.length; index++) {
    const logprob = logprobs[index] ?? 0;
    if (above < logprob) return false;
    above = logprob;
  }
  return true;
}

export function areFinite(values: Float32Array): boolean {
  for (let index = 0; index < values.length; index++) if (!Number.isFinite(values[index])) return false;
  return true;
}

/** Zero but for rounding. */
const maxLogprob = 1e-3;

export function isTokenId(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0x7fffffff;
}

function perToken(value: unknown, tokens: number): readonly unknown[] | undefined {
  return Array.isArray(value) && value.length === tokens ? value : undefined;
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
  }
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
  }
  return true;
}
