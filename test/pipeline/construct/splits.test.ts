import assert from 'node:assert/strict';
import fc from 'fast-check';
import { splitQuestions } from '../../../src/pipeline/construct/splits.ts';

const shares = { validationShare: 0.1, testShare: 0.2, seed: 42 };
const ids = (count: number) => Array.from({ length: count }, (_, index) => `aime/${index}`);
const sizes = (splits: ReadonlyMap<string, string>) =>
  Object.fromEntries(['train', 'validation', 'test'].map((name) => [name, [...splits.values()].filter((each) => each === name).length]));

describe('splits', () => {
  it('have their shares of the questions, exactly', () => {
    assert.deepEqual(sizes(splitQuestions(ids(1000), shares)), { train: 700, validation: 100, test: 200 });
  });

  it('depend on the seed, and not on the order of the questions', () => {
    const splits = splitQuestions(ids(200), shares);
    const backwards = splitQuestions(ids(200).reverse(), shares);
    for (const id of ids(200)) assert.equal(splits.get(id), backwards.get(id));
    assert.notDeepEqual([...splitQuestions(ids(200), { ...shares, seed: 43 })].sort(), [...splits].sort());
  });

  it('keep most questions where they were when one is added', () => {
    const [before, after] = [splitQuestions(ids(200), shares), splitQuestions(ids(201), shares)];
    assert.ok(ids(200).filter((id) => before.get(id) !== after.get(id)).length <= 3);
  });

  it('of few questions have one each, and one to train on before all others', () => {
    const small = { validationShare: 0.1, testShare: 0.1, seed: 1 };
    assert.deepEqual(sizes(splitQuestions(ids(3), small)), { train: 1, validation: 1, test: 1 });
    assert.deepEqual(sizes(splitQuestions(ids(2), small)), { train: 1, validation: 0, test: 1 });
    assert.deepEqual(sizes(splitQuestions(ids(1), small)), { train: 1, validation: 0, test: 0 });
    assert.deepEqual(sizes(splitQuestions([], small)), { train: 0, validation: 0, test: 0 });
    assert.deepEqual(sizes(splitQuestions(ids(7), { validationShare: 0, testShare: 0, seed: 1 })), { train: 7, validation: 0, test: 0 });
  });

  it('put each question into one, for any shares', () => {
    const share = fc.double({ min: 0, max: 0.49, noNaN: true });
    fc.assert(
      fc.property(fc.uniqueArray(fc.string(), { maxLength: 60 }), share, share, fc.nat(), (all, validationShare, testShare, seed) => {
        const splits = splitQuestions(all, { validationShare, testShare, seed });
        assert.deepEqual([...splits.keys()].sort(), [...all].sort());
        const { train = 0 } = sizes(splits);
        assert.ok(train > 0 || all.length === 0);
      }),
    );
  });
});
