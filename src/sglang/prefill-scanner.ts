import { closeBrace, openTwice, parseAround, scanDistribution, spanOf } from './answer-scanner.ts';
import type { StateRows, TopRows } from './number-rows.ts';
import { close, comma, open, type NumberScanner } from './number-scanner.ts';

const inputStart = Buffer.from('[null');
const closeTwice = Buffer.from(']]');

/** An answer to a prefill whose large lists were taken out. */
export interface ScannedPrefill {
  /** The JSON value, with null in the place of each of the lists. */
  readonly value: unknown;
  /** Of the tokens asked for. */
  readonly top: TopRows;
  /** Of all tokens that the server read. */
  readonly states: StateRows;
}

/**
 * Parses the JSON text of an answer to a prefill as JSON.parse would, except that the numbers are read straight into arrays. It knows the lists
 * as SGLang writes them, and gives up at anything else, be it right or wrong.
 *
 * @returns undefined when it gave up
 */
export function scanPrefill(text: Buffer, tokens: number, count: number): ScannedPrefill | undefined {
  // The scanner wants an end that belongs to no number.
  if (text.at(-1) !== closeBrace) return undefined;
  const top = { tokens, ids: new Int32Array(tokens * count), logprobs: new Float64Array(tokens * count) };
  const input = spanOf(text, 'input_top_logprobs', (scanner) => (scanInput(scanner, top, count) ? top : undefined));
  const output = input && spanOf(text, 'output_top_logprobs', (scanner) => (scanOutput(scanner, top, count) ? top : undefined));
  const states = output && spanOf(text, 'hidden_states', scanPromptStates);
  if (!states) return undefined;
  const value = parseAround(
    text,
    [input, output, states].sort((a, b) => a.from - b.from),
  );
  return value === undefined ? undefined : { value, top, states: states.rows };
}

/** `[null,[[logprob,id,null],…],…]`: the predictions of the second token and those behind it. */
function scanInput(scanner: NumberScanner, top: TopRows, count: number): boolean {
  if (!scanner.takeAll(inputStart)) return false;
  for (let token = 0; token < top.tokens - 1; token++)
    if (!scanner.take(comma) || !scanDistribution(scanner, top, token, count)) return false;
  return scanner.take(close);
}

/** `[[[logprob,id,null],…]]`: the prediction of the token that was generated. */
function scanOutput(scanner: NumberScanner, top: TopRows, count: number): boolean {
  return scanner.take(open) && scanDistribution(scanner, top, top.tokens - 1, count) && scanner.take(close);
}

/** `[[[number,…],…]]`: rows of one width, of one pass over the prompt. */
function scanPromptStates(scanner: NumberScanner): StateRows | undefined {
  if (!scanner.takeAll(openTwice)) return undefined;
  // Numbers with their commas are two bytes at least.
  const first = new Float32Array(Math.max(0, scanner.distanceTo(close)) / 2);
  const width = scanner.list(first);
  if (width === 0) return undefined;
  const values = new Float32Array(width + scanner.left / 2);
  values.set(first.subarray(0, width));
  let tokens = 1;
  for (; scanner.take(comma); tokens++) if (scanner.list(values.subarray(tokens * width, (tokens + 1) * width)) !== width) return undefined;
  return scanner.takeAll(closeTwice) ? { tokens, width, values: values.slice(0, tokens * width) } : undefined;
}
