import type { Tokenizer } from '../../model/tokenizer.ts';
import { marked } from '../token-marks.ts';
import { sentenceEnds } from './sentences.ts';

export interface TextRule {
  readonly thinkStart: string;
  /** Sentences of a branch. */
  readonly numContinuation: number;
  /** Sentences before the current one that both texts begin with; -1: all. */
  readonly previousContext: number;
  /** Sentences of the common context; -1: all. */
  readonly commonPreviousContext: number;
  readonly skipStressDivergentToken: boolean;
}

/** One of the two ways on: the token that parts them, and what follows. */
export interface BranchTokens {
  readonly token: number;
  readonly ids: readonly number[];
  /** The token ends a sentence. */
  readonly isStop: boolean;
}

export interface ContinuationTexts {
  readonly common_context: string;
  readonly small_diverge_text: string;
  readonly reference_diverge_text: string;
  /** Marked. */
  readonly pred_small_text: string;
  readonly real_text: string;
}

/** Tokens before a branch that are decoded again with it: a character has four bytes at most. */
const overlap = 8;

/**
 * A prompt and its response as text, read once for all of its mismatches: where each token begins, and where sentences end. Memory: the text
 * and two numbers a token.
 */
export class ResponseText {
  readonly #ids: readonly number[];
  readonly #tokenizer: Tokenizer;
  readonly #text: string;
  /** Where the text of each token begins; one more for the end. */
  readonly #starts: Uint32Array;
  readonly #ends: readonly number[];

  constructor(ids: readonly number[], tokenizer: Tokenizer) {
    this.#ids = ids;
    this.#tokenizer = tokenizer;
    this.#starts = new Uint32Array(ids.length + 1);
    const stream = tokenizer.stream({ keepSpecialTokens: true });
    const pieces: string[] = [];
    let length = 0;
    for (const [index, id] of ids.entries()) {
      this.#starts[index] = length;
      const piece = stream.push(id);
      pieces.push(piece);
      length += piece.length;
    }
    this.#starts[ids.length] = length;
    this.#text = pieces.join('') + stream.flush();
    this.#ends = sentenceEnds(this.#text);
  }

  /**
   * What a judge is shown of two branches: each from the beginning of the sentence in which they part to the end of that sentence (or of
   * `numContinuation` of them), and all before it since the last opening think tag. Sentences are those of the text without marks. A token that
   * ends a sentence which had ended already, such as a new line behind a point, belongs to the sentence that follows.
   */
  texts(position: number, small: BranchTokens, real: BranchTokens, previousIsStop: boolean, rule: TextRule): ContinuationTexts {
    const at = this.#starts[position] ?? 0;
    const begin = this.#contextStart(at, rule.thinkStart);
    // a line's end is a sentence's end whatever follows: only the line at hand has to be looked at again
    const line = at === 0 ? 0 : Math.max(begin, this.#text.lastIndexOf('\n', at - 1) + 1);
    const started = this.#text.slice(line, at);
    const places = [small, real].map((branch) => {
      const { tokenText, rest } = this.#branchText(position, branch);
      return { tokenText, rest, ...placeOf(started, tokenText, rest, branch.isStop && previousIsStop, rule.numContinuation) };
    });
    const from = line + Math.min(...places.map(({ start }) => start));
    const textFrom = this.#back(from, rule.previousContext, begin);
    const commonFrom = this.#back(textFrom, rule.commonPreviousContext, begin);
    const shownToken = (tokenText: string): string => (rule.skipStressDivergentToken ? tokenText : marked(tokenText));
    const [smallText = '', realText = ''] = places.map(({ tokenText, rest, end }) => {
      const shown = rest.slice(0, Math.max(0, end - started.length - tokenText.length));
      return this.#text.slice(textFrom, at) + shownToken(tokenText) + shown;
    });
    const [smallToken = '', realToken = ''] = places.map(({ tokenText }) => tokenText);
    return {
      common_context: this.#text.slice(commonFrom, textFrom),
      small_diverge_text: smallText,
      reference_diverge_text: realText,
      pred_small_text: shownToken(smallToken),
      real_text: realToken,
    };
  }

  /** Behind the last opening tag before `at`; the beginning when there is none. */
  #contextStart(at: number, thinkStart: string): number {
    const tag = at < thinkStart.length ? -1 : this.#text.lastIndexOf(thinkStart, at - thinkStart.length);
    if (tag < 0) return 0;
    const behind = tag + thinkStart.length;
    return Math.min(at, behind + (/^\s*/.exec(this.#text.slice(behind, behind + 8))?.[0].length ?? 0));
  }

  /** The beginning of the sentence so many before `from`. @param count -1: as many as there are */
  #back(from: number, count: number, begin: number): number {
    if (count < 0) return begin;
    const index = lowerBound(this.#ends, from) - count;
    return count === 0 ? from : Math.max(begin, this.#ends[index] ?? 0);
  }

  /** The text of a branch's token, and of what follows. A token that is part of a character takes those that complete it. */
  #branchText(position: number, { token, ids }: BranchTokens): { readonly tokenText: string; readonly rest: string } {
    const stream = this.#tokenizer.stream({ keepSpecialTokens: true });
    for (const id of this.#ids.slice(Math.max(0, position - overlap), position)) stream.push(id);
    let tokenText = stream.push(token);
    let rest = '';
    for (const id of ids) {
      const piece = stream.push(id);
      if (tokenText === '') tokenText = piece;
      else rest += piece;
    }
    const flushed = stream.flush();
    return tokenText === '' ? { tokenText: flushed, rest } : { tokenText, rest: rest + flushed };
  }
}

/** Where the sentence of a token begins (not behind the token) and where that, or the last that is shown, ends. */
function placeOf(started: string, tokenText: string, rest: string, afterEnd: boolean, count: number): { start: number; end: number } {
  const ends = sentenceEnds(started + tokenText + rest);
  const visible = /^\s*/.exec(tokenText)?.[0].length ?? 0;
  const first = started.length + (visible < tokenText.length ? visible : 0);
  let sentence = ends.findIndex((end) => end > first);
  if (sentence < 0) return { start: started.length, end: started.length + tokenText.length };
  if (afterEnd && sentence + 1 < ends.length) sentence++;
  const start = Math.min(started.length, ends[sentence - 1] ?? 0);
  return { start, end: ends[Math.min(sentence + count, ends.length) - 1] ?? first };
}

/** The first index whose value is at least `value`. */
function lowerBound(values: readonly number[], value: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] ?? Infinity) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
