import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Problem {
  readonly id: string;
  readonly question: string;
  readonly answer: string;
}

const folder = join(import.meta.dirname, '../../../examples/models/problems');
const read = (name: string): readonly Problem[] =>
  readFileSync(join(folder, `${name}.jsonl`), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Problem);

const operations: readonly (readonly [RegExp, (value: number, operand: number) => number])[] = [
  [/^(?:Add|Then add|Increase it by) (\d+)$/, (value, operand) => value + operand],
  [/^(?:Subtract|Take away|Decrease it by) (\d+)$/, (value, operand) => value - operand],
  [/^(?:Multiply by|Then multiply by|Multiply it by) (\d+)$/, (value, operand) => value * operand],
];

/** Numbers and operations without their words, and what comes out. */
function reading({ question }: Problem): { readonly key: string; readonly result: number } {
  const words = question.replaceAll('Double it', 'Multiply by 2').replaceAll('Triple it', 'Multiply by 3');
  const [first = '', ...rest] = words.split('. ').slice(0, -1);
  let result = Number(/^(?:Start with|Begin with|Take the number) (\d+)$/.exec(first)?.[1]);
  const key = [String(result)];
  for (const sentence of rest) {
    const index = operations.findIndex(([pattern]) => pattern.test(sentence));
    const [pattern, apply] = operations[index] ?? assert.fail(sentence);
    const operand = Number(pattern.exec(sentence)?.[1]);
    result = ((apply(result, operand) % 100) + 100) % 100;
    key.push(`${index}/${operand}`);
  }
  return { key: key.join(' '), result };
}

describe('the example problems', () => {
  const [train, heldOut] = [read('train'), read('held-out')];

  it('are 1,000 to label and 200 to measure with, and none is in both, in whatever words', () => {
    assert.deepEqual([train.length, heldOut.length], [1000, 200]);
    const all = [...train, ...heldOut];
    assert.equal(new Set(all.map((problem) => reading(problem).key)).size, 1200);
    assert.equal(new Set(all.map(({ id }) => id)).size, 1200);
  });

  it('have right answers', () => {
    for (const problem of [...train, ...heldOut]) assert.equal(Number(problem.answer), reading(problem).result, problem.id);
  });
});
