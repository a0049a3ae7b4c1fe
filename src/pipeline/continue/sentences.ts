/**
 * Ends a sentence: a run of marks with the quotes and brackets that close behind it, then white space or nothing. Chinese marks need no
 * space behind them, and a line's end is a sentence's end.
 */
const end = /([.!?]+)["')\]}*”’»]*(?=\s|$)|[。！？]+[”’」』）】》]*|\n/gu;
const whiteSpace = /\s*/y;
/** Line ends that follow one another belong together, with what is blank between them. */
const lineEnds = /\n\s*/y;

/**
 * Where each sentence of a text ends, ascending: behind the white space that follows it; the last one at the text's end. Decides as an untrained
 * Punkt tokenizer does (which upstream uses): `...` ends nothing, nor does the point behind a single letter (`x.`), nor that behind a number
 * when a small letter follows.
 */
export function sentenceEnds(text: string): readonly number[] {
  const ends: number[] = [];
  end.lastIndex = 0;
  for (let match = end.exec(text); match; match = end.exec(text)) {
    const blank = match[0] === '\n' ? lineEnds : whiteSpace;
    blank.lastIndex = match[0] === '\n' ? match.index : end.lastIndex;
    blank.exec(text);
    const behind = Math.max(blank.lastIndex, end.lastIndex);
    if (match[1] === '.' && !text.slice(end.lastIndex, behind).includes('\n') && !pointEnds(text, match.index, behind)) continue;
    if (match[1] !== undefined && /^\.{2,}$/.test(match[1]) && !text.slice(end.lastIndex, behind).includes('\n')) continue;
    ends.push(behind);
    end.lastIndex = behind;
  }
  if (text !== '' && ends.at(-1) !== text.length) ends.push(text.length);
  return ends;
}

/** @param at of the point; `behind`: of the next word */
function pointEnds(text: string, at: number, behind: number): boolean {
  const word = /[^\s("'[{*,;:]*$/u.exec(text.slice(Math.max(0, at - 40), at))?.[0] ?? '';
  const next = text.slice(behind, behind + 2);
  if (/^\p{L}$/u.test(word)) return !/^\p{L}/u.test(next);
  if (/^-?[.,]?\d[\d,.-]*$/.test(word)) return !/^\p{Ll}/u.test(next);
  return true;
}
