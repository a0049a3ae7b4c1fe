import assert from 'node:assert/strict';
import { DigestSet } from '../../../src/pipeline/convert/digest-set.ts';
import { seededOrder } from '../../../src/pipeline/convert/shuffle.ts';

describe('a set of digests', () => {
  it('knows each text that was added, and no other', () => {
    const set = new DigestSet();
    for (let n = 0; n < 20_000; n++) assert.equal(set.add(`text ${n}`), true);
    for (let n = 0; n < 20_000; n++) assert.equal(set.add(`text ${n}`), false);
    assert.equal(set.size, 20_000);
    assert.equal(set.add('text'), true);
  });
});

describe('a seeded order', () => {
  it('is the same for the same seed and key, and has each index once', () => {
    assert.deepEqual(seededOrder(4, 42, 'a/1'), seededOrder(4, 42, 'a/1'));
    assert.deepEqual(
      [...seededOrder(26, 1, 'x')].sort((a, b) => a - b),
      Array.from({ length: 26 }, (_, index) => index),
    );
    // never another: the letters of the answers hang on it
    assert.deepEqual(seededOrder(4, 42, 'gpqa_extended/0'), [0, 2, 3, 1]);
  });

  it('favours no place', () => {
    const places = [0, 0, 0, 0];
    for (let n = 0; n < 8000; n++) places[seededOrder(4, 42, `set/${n}`).indexOf(0)]!++;
    // five standard deviations of a binomial count
    for (const count of places) assert.ok(Math.abs(count - 2000) < 5 * Math.sqrt(8000 * 0.25 * 0.75), String(places));
  });
});
