import type { Tokenizer } from '../../model/tokenizer.ts';

const longest = 4;
const sentenceEnd = /[.!?\n。！？]$/u;
const openings = new Map([
  ['(', ')'],
  ['[', ']'],
  ['{', '}'],
  ['“', '”'],
  ['‘', '’'],
  ['«', '»'],
  ['「', '」'],
  ['『', '』'],
  ['（', '）'],
  ['【', '】'],
  ['《', '》'],
]);

/**
 * Tokens that end a sentence: text of at most 4 characters which ends in one of `.` `!` `?` (ASCII or wide) or a new line, has no colon, and
 * closes every bracket that it opens; and the think tags.
 */
export function stopTokens(tokenizer: Tokenizer, tags: { readonly thinkStart: string; readonly thinkEnd: string }): ReadonlySet<number> {
  const special = new Set(tokenizer.specialIds);
  const stops = new Set<number>();
  for (const [token, id] of tokenizer.tokenToId)
    if (token === tags.thinkStart || token === tags.thinkEnd || (!special.has(id) && endsSentence(textOf(tokenizer, id)))) stops.add(id);
  return stops;
}

function textOf(tokenizer: Tokenizer, id: number): string {
  const bytes = tokenizer.tokenBytes(id);
  // no character has more than four bytes
  return bytes.length > longest * 4 ? '' : new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

function endsSentence(text: string): boolean {
  return sentenceEnd.test(text) && !/[:：]/u.test(text) && Array.from(text).length <= longest && !opens(text);
}

function opens(text: string): boolean {
  const expected: string[] = [];
  for (const character of text) {
    const closing = openings.get(character);
    if (closing !== undefined) expected.push(closing);
    else if (expected.at(-1) === character) expected.pop();
  }
  return expected.length > 0;
}
