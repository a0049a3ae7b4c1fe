import assert from 'node:assert/strict';
import fc from 'fast-check';
import { samplerOf, type Sampling } from '../../src/router/sampler.ts';
import type { TopLogprobs } from '../../src/sglang/index.ts';
import { bounded } from '../scale.ts';
import { possibleTokens } from './sampling-margin.ts';

const validIds = 28;
const margin = 0.25;

/** The distribution of some logits, best first; an id is its logit's index. */
function distribution(logits: readonly number[]): TopLogprobs {
  const constant = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
  const order = logits.map((logit, id) => ({ id, logprob: logit - constant })).sort((a, b) => b.logprob - a.logprob);
  return { ids: Int32Array.from(order, ({ id }) => id), logprobs: Float64Array.from(order, ({ logprob }) => logprob) };
}

const logits = fc.array(fc.double({ min: 0, max: 6, noNaN: true }), { minLength: 30, maxLength: 30 });
const sampling: fc.Arbitrary<Sampling> = fc.record({
  temperature: fc.constantFrom(0, 0.3, 0.8, 1.5),
  topP: fc.constantFrom(1, 0.95, 0.6),
  topK: fc.constantFrom(0, 5, 12),
  seed: fc.nat(),
  choice: fc.constant(0),
});

describe('tokens that a margin explains', () => {
  const chosen = (top: TopLogprobs, how: Sampling, position: number): number =>
    samplerOf(how, validIds).choose({ id: [...top.ids].find((id) => id < validIds)!, top }, position);

  it('hold whatever is chosen when any two log-probabilities move by no more than it', () => {
    const moves = fc.array(fc.double({ min: -margin / 2, max: margin / 2, noNaN: true }), { minLength: 30, maxLength: 30 });
    fc.assert(
      fc.property(logits, moves, sampling, fc.nat(2000), (values, by, how, position) => {
        const moved = distribution(values.map((logit, id) => logit + by[id]!));
        assert.ok(possibleTokens(distribution(values), how, position, margin, validIds).has(chosen(moved, how, position)));
      }),
      bounded(5_000, 10_000),
    );
  });

  it('are the chosen one alone where nothing may move', () => {
    const distinct = logits.map((values) => values.map((value, id) => Math.round(value * 100) / 100 + id * 1e-4));
    fc.assert(
      fc.property(distinct, sampling, fc.nat(2000), (values, how, position) => {
        const top = distribution(values);
        assert.deepEqual([...possibleTokens(top, how, position, 1e-9, validIds)], [chosen(top, how, position)]);
      }),
      bounded(2_000, 10_000),
    );
  });
});
