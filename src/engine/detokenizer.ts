import type { Tokenizer } from '../model/tokenizer.ts';
import type { FinishReason } from './messages.ts';
import type { SamplingParams } from './sampling-params.ts';

/** Tokens of the prompt that are decoded along, so that the first token's text joins it rightly. */
const promptTail = 5;
const replacement = '\uFFFD';

function isHan(character: string): boolean {
  return /\p{Script=Han}/u.test(character);
}

/** The part of a text with a broken end that can be shown already: whole words, or all but the last sign of a Chinese text. */
function printable(text: string): string {
  if (text.endsWith('\n')) return text;
  const characters = Array.from(text);
  if (isHan(characters.at(-1) ?? '')) return text;
  if (isHan(characters.at(-2) ?? '')) return characters.slice(0, -1).join('');
  return text.slice(0, text.lastIndexOf(' ') + 1);
}

/** `text` without as many characters as `prefix` has; broken characters make it possible that it does not begin with it. */
function after(text: string, prefix: string): string {
  return text.startsWith(prefix) ? text.slice(prefix.length) : Array.from(text).slice(Array.from(prefix).length).join('');
}

/**
 * Text of a growing sequence, by SGLang's rules: a window of tokens is decoded before and after the new ones, text with a broken end waits,
 * and the matched stop is cut off at the end.
 */
export class Detokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #params: SamplingParams;
  readonly #ids: number[];
  /** The window before the new tokens: ids [#from, #read). */
  #from = 0;
  #read: number;
  #certain = '';
  #shown = '';

  constructor(tokenizer: Tokenizer, promptIds: Int32Array, params: SamplingParams) {
    this.#tokenizer = tokenizer;
    this.#params = params;
    this.#ids = this.#known(promptIds.slice(-promptTail));
    this.#read = this.#ids.length;
  }

  /** Everything shown so far. */
  get text(): string {
    return this.#shown;
  }

  push(ids: readonly number[], finish: FinishReason | null): void {
    this.#ids.push(...this.#known(ids));
    const matched = finish?.type === 'stop' ? finish.matched : undefined;
    const window = this.#ids.slice(this.#from);
    if (typeof matched === 'number' && !this.#params.noStopTrim) window.pop();
    const added = after(this.#decode(window), this.#decode(this.#ids.slice(this.#from, this.#read)));
    const all = this.#certain + added;
    if (finish) this.#show(typeof matched === 'string' ? this.#trim(all, matched) : all);
    else if (added !== '' && !added.endsWith(replacement)) {
      this.#show(all);
      this.#certain = all;
      this.#from = this.#read;
      this.#read = this.#ids.length;
    } else this.#show(this.#certain + printable(added));
  }

  /** Text once shown stays, even where a longer look would have changed it. */
  #show(text: string): void {
    this.#shown += text.slice(this.#shown.length);
  }

  #trim(text: string, stop: string): string {
    const at = text.indexOf(stop);
    if (at === -1) return text;
    return text.slice(0, this.#params.noStopTrim ? at + stop.length : at);
  }

  /** SGLang shows ids beyond the tokenizer (a padded vocabulary has them) as token 0. */
  #known(ids: ArrayLike<number>): number[] {
    return Array.from(ids, (id) => (id < this.#tokenizer.length ? id : 0));
  }

  #decode(ids: readonly number[]): string {
    return this.#tokenizer.decode(ids, { keepSpecialTokens: !this.#params.skipSpecialTokens });
  }
}
