import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { problems } from './published.ts';
import type { Problem } from './published.ts';

interface Step {
  readonly kind: 'add' | 'subtract' | 'multiply';
  readonly operand: number;
}

/** Reads a question as a person would; the Python that wrote it is not asked. */
function read(question: string): { start: number; steps: Step[] } {
  const [opening = '', ...sentences] = question.split(/(?<=\.) /);
  const number = (text: string) => Number(/\d+/.exec(text)?.[0]);
  const steps = sentences.slice(0, -1).map((sentence): Step => {
    if (sentence === 'Double it.') return { kind: 'multiply', operand: 2 };
    if (sentence === 'Triple it.') return { kind: 'multiply', operand: 3 };
    if (/multiply/i.test(sentence)) return { kind: 'multiply', operand: number(sentence) };
    if (/add|increase/i.test(sentence)) return { kind: 'add', operand: number(sentence) };
    assert.match(sentence, /Subtract|Take away|Decrease/);
    return { kind: 'subtract', operand: number(sentence) };
  });
  return { start: number(opening), steps };
}

function answer({ start, steps }: { start: number; steps: readonly Step[] }): string {
  const result = steps.reduce((value, { kind, operand }) => {
    const next = kind === 'add' ? value + operand : kind === 'subtract' ? value - operand : value * operand;
    return ((next % 100) + 100) % 100;
  }, start);
  return String(result).padStart(2, '0');
}

/** The problem without its words, as trainer/tiny_models/task.py writes it. */
function key({ question }: Problem): string {
  const { start, steps } = read(question);
  return `${String(start)} ${steps.map(({ kind, operand }) => kind + String(operand)).join(' ')}`;
}

function bucket(problem: Problem): number {
  return createHash('sha256').update(key(problem)).digest().readUInt32BE(0) % 64;
}

describe('the problem files', () => {
  it('hold 200 held-out problems and a few hundred to label, each with its own id', () => {
    const heldOut = problems('held-out');
    const train = problems('train');
    assert.equal(heldOut.length, 200);
    assert.ok(train.length >= 300);
    assert.equal(new Set([...heldOut, ...train].map(({ id }) => id)).size, heldOut.length + train.length);
  });

  it('state the right answer to every question', () => {
    for (const problem of [...problems('held-out'), ...problems('train')]) {
      const { steps } = read(problem.question);
      assert.ok(steps.length >= 3 && steps.length <= 5, problem.question);
      assert.equal(problem.answer, answer(read(problem.question)), problem.question);
    }
  });

  it('are disjoint by the hash that also keeps both out of the training data', () => {
    for (const problem of problems('held-out')) assert.equal(bucket(problem), 0, problem.id);
    for (const problem of problems('train')) assert.equal(bucket(problem), 1, problem.id);
  });
});
