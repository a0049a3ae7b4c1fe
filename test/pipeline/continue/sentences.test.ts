import assert from 'node:assert/strict';
import fc from 'fast-check';
import { sentenceEnds } from '../../../src/pipeline/continue/sentences.ts';

function sentences(text: string): string[] {
  return sentenceEnds(text).map((end, index, ends) => text.slice(ends[index - 1] ?? 0, end));
}

/** But for the last two groups as NLTK 3.10's PunktSentenceTokenizer() has them. */
const cases: readonly (readonly [name: string, ...sentences: string[]])[] = [
  ['points', 'So the train needs 3 hours. ', 'It arrives at noon.'],
  ['other marks', 'Is it prime? ', 'No! ', 'It is 3*7.'],
  ['a point behind a number, where a capital follows', 'It arrives at 12. ', 'Then we go.'],
  ['a point behind a number, where a small letter follows', 'It arrives at 12. then we go.'],
  ['decimals', 'Then x = 3.5 holds.'],
  ['single letters', 'A. Smith came, and let x be y. Then he left.'],
  ['three points', 'Wait... what is it.'],
  ['quotes and brackets that close', 'He said "No." ', '(See above.) ', 'So 4.'],
  ['lines', 'Step one\n', 'Step two: x = 1\n', 'So x. \n', 'Then y'],
  ['blank lines, which belong together', 'One.\n\n', 'Two\n \n', 'Three'],
  ['marks in bold', '**Answer.** ', 'It is so.'],
  ['Chinese marks, which need no space', '答案是四。', '对吗？', '对！”', '好'],
];

describe('sentences', () => {
  for (const [name, ...expected] of cases) it(`know ${name}`, () => assert.deepEqual(sentences(expected.join('')), expected));

  it('are the whole text, whatever it is', () => {
    const pieces = fc.constantFrom('a', 'Ab', '3', '.', '..', '!', '?', ' ', '\n', '"', ')', '。', '<<', '>>', '\u{1f600}');
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
        const text = parts.join('');
        const all = sentences(text);
        assert.equal(all.join(''), text);
        assert.ok(all.every((sentence) => sentence !== ''));
      }),
    );
  });

  it('of a line are the same whatever line comes before', () => {
    const line = fc.stringMatching(/^[aA3.?! )"]{1,20}$/);
    fc.assert(
      fc.property(line, line, (before, text) => {
        const own = sentenceEnds(`x${text}`);
        const moved = sentenceEnds(`${before}\nx${text}`).map((end) => end - before.length - 1);
        assert.deepEqual(
          moved.filter((end) => end > 0),
          own,
        );
      }),
    );
  });
});
