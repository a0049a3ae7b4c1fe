export type Verdict = 0 | 1;

const thinkEnd = '</think>';
/** The number that a label announces. */
const labelled = /\b(?:output|answer|verdict)\b[\s"'`*<([:=-]*(?<![-\d.])(-?\d+(?:[.,]\d+)?)/iu;
/** The number that an answer begins with. */
const leading = /^[\s"'`*<([:=]*(-?\d+(?:[.,]\d+)?)/u;

/**
 * The verdict in a verifier's answer: the number behind `Output`, or the one that the answer begins with. Anything but 0 and 1 is none, and so
 * is a number inside a sentence (`Sentence 1 says …`). Of an answer with reasoning only what follows it counts.
 */
export function parseVerdict(answer: string): Verdict | undefined {
  const said = answer.slice(answer.lastIndexOf(thinkEnd) < 0 ? 0 : answer.lastIndexOf(thinkEnd) + thinkEnd.length);
  if (said.includes('<think>')) return undefined;
  const number = (leading.exec(said) ?? labelled.exec(said))?.[1];
  return number === '0' ? 0 : number === '1' ? 1 : undefined;
}
