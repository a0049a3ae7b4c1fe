import type { ExpectedAnswer, ReadRows } from './answer.ts';
import type { StateRows, TopRows } from './number-rows.ts';
import { close, comma, NumberScanner, open } from './number-scanner.ts';

const openBrace = 0x7b;
export const closeBrace = 0x7d;
export const openTwice = Buffer.from('[[');
const nullText = Buffer.from('null');
const entryEnd = Buffer.from(',null]');
/** The fewest bytes of an entry: `[0,0,null],` without its comma. */
const minEntryBytes = 10;

/** An answer whose large lists were taken out. */
export interface ScannedAnswer {
  /** The JSON value, with null in the place of each of the lists. */
  readonly value: unknown;
  readonly rows: ReadRows;
}

/** A list in the text. */
interface Span<Rows> {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly rows: Rows;
}

/**
 * Parses the JSON text of an answer as JSON.parse would, except that its two large lists, which are nearly all of it, are read straight into
 * arrays: that takes half the time, and leaves next to no garbage.
 *
 * It knows these lists as SGLang writes them (in full, without white space, once in an answer), and gives up at anything else, be it right or
 * wrong.
 *
 * @returns undefined when it gave up, or when neither list is expected: then JSON.parse reads the answer, or says what is wrong with it
 */
export function scanAnswer(text: Buffer, { topLogprobs, hiddenStates, maxNewTokens }: ExpectedAnswer): ScannedAnswer | undefined {
  // The scanner wants an end that belongs to no number.
  if (text.at(-1) !== closeBrace) return undefined;
  const spans: Span<unknown>[] = [];
  const find = <Rows>(name: string, scan: (scanner: NumberScanner) => Rows | undefined): Rows | undefined => {
    const span = spanOf(text, name, scan);
    if (span) spans.push(span);
    return span?.rows;
  };
  const top = topLogprobs > 0 ? find('output_top_logprobs', (scanner) => scanTop(scanner, maxNewTokens, topLogprobs)) : undefined;
  const states = hiddenStates ? find('hidden_states', (scanner) => scanStates(scanner, maxNewTokens)) : undefined;
  if (spans.length === 0 || spans.length < Number(topLogprobs > 0) + Number(hiddenStates)) return undefined;
  const value = parseAround(
    text,
    spans.sort((a, b) => a.from - b.from),
  );
  return value === undefined ? undefined : { value, rows: { top, states } };
}

/** Reads the list of this name where it lies in the text; undefined when there is none, or none that `scan` knows. */
export function spanOf<Rows>(text: Buffer, name: string, scan: (scanner: NumberScanner) => Rows | undefined): Span<Rows> | undefined {
  const key = `"${name}":`;
  const at = text.indexOf(key, 0, 'latin1');
  // In JSON these bytes are a key, unless the first belongs to a string: then it is behind a backslash.
  if (at < 1 || (text[at - 1] !== comma && text[at - 1] !== openBrace)) return undefined;
  const scanner = new NumberScanner(text, at + key.length);
  const rows = scan(scanner);
  return rows && { name, from: at + key.length, to: scanner.at, rows };
}

/** The value of a text with null in the place of lists of `meta_info`; undefined when it is no JSON, or when the lists are not certainly those. */
export function parseAround(text: Buffer, spans: readonly Span<unknown>[]): unknown {
  const ends = [...spans.map(({ from }) => from), text.length];
  const rest = ends.map((end, index) => text.toString('utf8', spans[index - 1]?.to ?? 0, end)).join('null');
  if (escapedLetter.test(rest)) return undefined;
  let value: { readonly meta_info?: Readonly<Record<string, unknown>> | null } | null;
  try {
    value = JSON.parse(rest) as typeof value;
  } catch {
    return undefined;
  }
  // A list that is the only one of its name, where a null of that name is, was there.
  const areThere = spans.every(
    ({ name }) => value?.meta_info?.[name] === null && rest.indexOf(`"${name}"`) === rest.lastIndexOf(`"${name}"`),
  );
  return areThere ? value : undefined;
}

/** A name can also be written with escapes, which no server does. */
const escapedLetter = /\\u00[567]/;

/** `[[[logprob,id,null],…],…]`: so many entries for each token. A logprob may be null, but for the first. */
function scanTop(scanner: NumberScanner, maxTokens: number, count: number): TopRows | undefined {
  const capacity = Math.min(maxTokens, Math.floor(scanner.left / (minEntryBytes * count)));
  const ids = new Int32Array(capacity * count);
  const logprobs = new Float64Array(capacity * count);
  let tokens = 0;
  if (!scanner.take(open)) return undefined;
  do {
    if (tokens === capacity || !scanDistribution(scanner, { ids, logprobs }, tokens, count)) return undefined;
    tokens++;
  } while (scanner.take(comma));
  if (!scanner.take(close)) return undefined;
  return tokens === capacity
    ? { tokens, ids, logprobs }
    : { tokens, ids: ids.slice(0, tokens * count), logprobs: logprobs.slice(0, tokens * count) };
}

/** `[[logprob,id,null],…]`: so many entries, of the token with this number. */
export function scanDistribution(
  scanner: NumberScanner,
  { ids, logprobs }: Pick<TopRows, 'ids' | 'logprobs'>,
  token: number,
  count: number,
): boolean {
  if (!scanner.take(open)) return false;
  const from = token * count;
  for (let index = from; index < from + count; index++) {
    if (index > from && !scanner.take(comma)) return false;
    if (!scanEntry(scanner, ids, logprobs, index, index > from)) return false;
  }
  return scanner.take(close);
}

function scanEntry(scanner: NumberScanner, ids: Int32Array, logprobs: Float64Array, index: number, mayBeNull: boolean): boolean {
  if (!scanner.take(open)) return false;
  if (scanner.number()) logprobs[index] = scanner.value[0] ?? 0;
  else if (mayBeNull && scanner.takeAll(nullText)) logprobs[index] = Number.NEGATIVE_INFINITY;
  else return false;
  if (!scanner.take(comma) || !scanner.number()) return false;
  const id = scanner.value[0] ?? 0;
  ids[index] = id;
  return ids[index] === id && id >= 0 && scanner.takeAll(entryEnd);
}

/** `[[[number,…],…],[number,…],…]`: rows of one width, for the first token a row or a list of rows. */
function scanStates(scanner: NumberScanner, maxTokens: number): StateRows | undefined {
  if (!scanner.take(open)) return undefined;
  const first = scanFirst(scanner);
  if (!first) return undefined;
  const { row, promptRows } = first;
  const width = row.length;
  // Numbers with their commas are two bytes at least.
  const capacity = Math.min(maxTokens, 1 + Math.floor(scanner.left / (2 * width)));
  const values = new Float32Array(capacity * width);
  values.set(row);
  let tokens = 1;
  for (; scanner.take(comma); tokens++)
    if (tokens === capacity || scanner.list(values.subarray(tokens * width, (tokens + 1) * width)) !== width) return undefined;
  if (!scanner.take(close)) return undefined;
  return { tokens, promptRows, width, values: tokens === capacity ? values : values.slice(0, tokens * width) };
}

/** The first token's row, which is the last of a list of rows where there is one. */
function scanFirst(scanner: NumberScanner): { readonly row: Float32Array; readonly promptRows?: number } | undefined {
  const space = new Float32Array(Math.max(0, scanner.distanceTo(close)) / 2);
  if (!scanner.takeAll(openTwice)) {
    const width = scanner.list(space);
    return width > 0 ? { row: space.subarray(0, width) } : undefined;
  }
  scanner.at--;
  let width: number;
  let promptRows = 0;
  do {
    width = scanner.list(space);
    if (width === 0) return undefined;
    promptRows++;
  } while (scanner.take(comma));
  return scanner.take(close) ? { row: space.subarray(0, width), promptRows } : undefined;
}
