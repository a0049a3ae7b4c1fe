/** `<< >>` around a token, its white space outside unless it is nothing else. */
export function marked(tokenText: string): string {
  const core = tokenText.trim();
  if (core === '') return `<<${tokenText}>>`;
  const from = tokenText.indexOf(core);
  return `${tokenText.slice(0, from)}<<${core}>>${tokenText.slice(from + core.length)}`;
}

/** Two texts that begin alike, where they part. */
export interface PartedTexts {
  readonly shared: string;
  readonly small: string;
  readonly reference: string;
}

/** Two ways on as the continue step has them. */
export interface ShownTexts {
  readonly small_diverge_text: string;
  readonly reference_diverge_text: string;
  readonly pred_small_text: string;
  readonly real_text: string;
}

/** Splits two ways on before the tokens that part them, and takes the marks away. @param areMarked the continue step set marks */
export function partedTexts(texts: ShownTexts, areMarked: boolean): PartedTexts {
  const { small_diverge_text: small, reference_diverge_text: reference, pred_small_text: smallToken } = texts;
  const realToken = areMarked ? marked(texts.real_text) : texts.real_text;
  for (let at = commonLength(small, reference); at >= 0; at--)
    if (small.startsWith(smallToken, at) && reference.startsWith(realToken, at))
      return {
        shared: small.slice(0, at),
        small: (areMarked ? unmarked(smallToken) : smallToken) + small.slice(at + smallToken.length),
        reference: texts.real_text + reference.slice(at + realToken.length),
      };
  return { shared: '', small, reference };
}

function unmarked(markedText: string): string {
  const [from, to] = [markedText.indexOf('<<'), markedText.lastIndexOf('>>')];
  return from < 0 || to < from ? markedText : markedText.slice(0, from) + markedText.slice(from + 2, to) + markedText.slice(to + 2);
}

function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}
