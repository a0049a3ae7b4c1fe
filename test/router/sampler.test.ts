import assert from 'node:assert/strict';
import fc from 'fast-check';
import { randomAt } from '../../src/router/counter-random.ts';
import { samplerOf, type Sampling } from '../../src/router/sampler.ts';

const top = (probabilities: readonly number[]) => ({
  ids: Int32Array.from(probabilities.keys(), (index) => index + 5),
  logprobs: Float64Array.from(probabilities, Math.log),
});
const token = (probabilities: readonly number[]) => ({ id: 5, top: top(probabilities) });
const plain: Sampling = { temperature: 1, topP: 1, topK: 0, seed: 1, choice: 0 };

/** How often each id was chosen over many positions. */
function shares(sampling: Sampling, probabilities: readonly number[], validIds?: number): Map<number, number> {
  const sampler = samplerOf(sampling, validIds);
  const counts = new Map<number, number>();
  const draws = 20_000;
  for (let position = 0; position < draws; position++) {
    const id = sampler.choose(token(probabilities), position);
    counts.set(id, (counts.get(id) ?? 0) + 1 / draws);
  }
  return counts;
}

function assertNear(counts: ReadonlyMap<number, number>, expected: readonly number[]): void {
  for (const [index, share] of expected.entries())
    assert.ok(Math.abs((counts.get(index + 5) ?? 0) - share) < 0.015, `id ${index + 5}: ${counts.get(index + 5)}, expected ${share}`);
}

describe('counter-based random numbers', () => {
  it("are Philox 4x32-10's: its authors' known answer for counter 0 and key 0", () => {
    assert.equal(randomAt(0, 0, 0), ((0x6627e8d5 >>> 5) * 2 ** 26 + (0xe169c58d >>> 6)) / 2 ** 53);
  });

  it('are in [0, 1), and differ with seed, stream and index, high halves included', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(1000), fc.maxSafeNat(), (seed, stream, index) => {
        const draw = randomAt(seed, stream, index);
        assert.ok(draw >= 0 && draw < 1);
        assert.equal(randomAt(seed, stream, index), draw);
        for (const other of [randomAt(seed ^ 1, stream, index), randomAt(seed, stream + 1, index), randomAt(seed, stream, index + 1)])
          assert.notEqual(other, draw);
      }),
    );
    assert.notEqual(randomAt(2 ** 32, 0, 0), randomAt(0, 0, 0));
    assert.notEqual(randomAt(0, 0, 2 ** 32), randomAt(0, 0, 0));
  });
});

describe('sampling', () => {
  it('draws by the probabilities at temperature 1', () => assertNear(shares(plain, [0.5, 0.3, 0.2]), [0.5, 0.3, 0.2]));

  it('sharpens below temperature 1 and flattens above', () => {
    const power = (t: number): number[] => {
      const raised = [0.5, 0.3, 0.2].map((p) => p ** (1 / t));
      return raised.map((p) => p / raised.reduce((a, b) => a + b));
    };
    for (const temperature of [0.3, 0.7, 1.8]) assertNear(shares({ ...plain, temperature }, [0.5, 0.3, 0.2]), power(temperature));
  });

  it('keeps the best topK, then the fewest whose probabilities reach topP, renormalised', () => {
    assertNear(shares({ ...plain, topK: 2 }, [0.5, 0.3, 0.2]), [0.625, 0.375, 0]);
    assertNear(shares({ ...plain, topP: 0.7 }, [0.5, 0.3, 0.2]), [0.625, 0.375, 0]);
    assertNear(shares({ ...plain, topP: 0.5 }, [0.5, 0.3, 0.2]), [1, 0, 0]);
    assertNear(shares({ ...plain, topK: 2, topP: 0.6 }, [0.5, 0.3, 0.2]), [1, 0, 0]);
  });

  it('renormalises what the engine told when that is not the whole vocabulary', () =>
    assertNear(shares(plain, [0.4, 0.2]), [2 / 3, 1 / 3]));

  it('never takes an id that one of the models does not know, nor one without probability', () => {
    assertNear(shares(plain, [0.25, 0.25, 0.5], 7), [0.5, 0.5, 0]);
    assertNear(shares(plain, [0.5, 0, 0.5]), [0.5, 0, 0.5]);
  });

  it('gives every choice its own draws, and the same seed the same ones', () => {
    const ids = (sampling: Sampling): number[] =>
      Array.from({ length: 64 }, (_, position) => samplerOf(sampling).choose(token([0.5, 0.5]), position));
    assert.deepEqual(ids(plain), ids({ ...plain }));
    assert.notDeepEqual(ids(plain), ids({ ...plain, choice: 1 }));
    assert.notDeepEqual(ids(plain), ids({ ...plain, seed: 2 }));
  });

  it('takes the best token at temperature 0, and needs no distribution for it', () => {
    const sampler = samplerOf({ ...plain, temperature: 0 });
    assert.equal(sampler.topLogprobs, 0);
    assert.equal(sampler.choose({ id: 9 }, 0), 9);
  });
});
