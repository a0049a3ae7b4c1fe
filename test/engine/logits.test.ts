import assert from 'node:assert/strict';
import fc from 'fast-check';
import { argmax, largest, logSoftmax, penalize } from '../../src/engine/logits.ts';
import { sample, seededRandom } from '../../src/engine/sampler.ts';
import type { SamplingParams } from '../../src/engine/sampling-params.ts';
import { samplingParams as params } from './sampling-params.ts';

const row = (...values: number[]) => Float32Array.from(values);
const values = fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 1, maxLength: 50 });

describe('logits', () => {
  it('ranks the largest values, the lower index first among equals', () => {
    fc.assert(
      fc.property(values, fc.nat(60), (all, count) => {
        const expected = all.map((value, id) => ({ value, id })).sort((a, b) => b.value - a.value || a.id - b.id);
        const { ids, logprobs } = largest(Float32Array.from(all), count);
        assert.deepEqual(
          ids,
          expected.slice(0, count).map(({ id }) => id),
        );
        assert.deepEqual(
          logprobs,
          expected.slice(0, count).map(({ value }) => value),
        );
        assert.equal(argmax(Float32Array.from(all)), expected[0]!.id);
      }),
      { seed: 4 },
    );
  });

  it('normalises to probabilities that sum to one, and stays finite', () => {
    const logprobs = row(1, 2, 3, -Infinity, 1e30 - 1e30);
    logSoftmax(logprobs);
    assert.ok(Math.abs(logprobs.reduce((sum, value) => sum + Math.exp(value), 0) - 1) < 1e-6);
    assert.ok(logprobs.every(Number.isFinite));
  });

  it('penalises what was said before, forbids ends too early, and adds the bias', () => {
    const logits = row(2, -2, 1, 1, 0);
    penalize(
      logits,
      { ...params, frequencyPenalty: 0.5, presencePenalty: 0.25, logitBias: [[4, 3]], minNewTokens: 3 },
      new Map([[0, 2]]),
      new Set([3]),
      1,
    );
    assert.deepEqual([...logits], [0.75, -2, 1, -Infinity, 3]);
    penalize(
      logits,
      { ...params, repetitionPenalty: 1.5 },
      new Map([
        [0, 1],
        [1, 1],
      ]),
      new Set(),
      1,
    );
    assert.deepEqual([...logits], [0.5, -3, 1, -Infinity, 3]);
  });
});

describe('sampler', () => {
  it('draws by probability', () => {
    const random = seededRandom(5);
    const logits = row(Math.log(0.5), Math.log(0.3), Math.log(0.2));
    const counts = [0, 0, 0];
    for (let draw = 0; draw < 20_000; draw++) counts[sample(logits, params, random)]!++;
    for (const [id, share] of [0.5, 0.3, 0.2].entries()) assert.ok(Math.abs(counts[id]! / 20_000 - share) < 0.02);
  });

  it('never draws what top_k, top_p or min_p cut off', () => {
    const random = seededRandom(6);
    const logits = row(3, 2, 1, 0);
    const drawn = (change: Partial<SamplingParams>) =>
      new Set(Array.from({ length: 2000 }, () => sample(logits, { ...params, ...change }, random)));
    assert.deepEqual([...drawn({ topK: 2 })].sort(), [0, 1]);
    // probabilities 0.64, 0.24, 0.09, 0.03
    assert.deepEqual([...drawn({ topP: 0.7 })].sort(), [0, 1]);
    assert.deepEqual([...drawn({ minP: 0.2 })].sort(), [0, 1]);
    assert.deepEqual([...drawn({ topK: 1 })], [0]);
    assert.deepEqual([...drawn({})].sort(), [0, 1, 2, 3]);
  });

  it('repeats itself for a seed', () => {
    const draw = (seed: number) => {
      const random = seededRandom(seed);
      return Array.from({ length: 20 }, () => sample(row(1, 1, 1, 1, 1), params, random)).join();
    };
    assert.equal(draw(1), draw(1));
    assert.notEqual(draw(1), draw(2));
  });
});
