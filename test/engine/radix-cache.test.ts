import assert from 'node:assert/strict';
import fc from 'fast-check';
import { KeyValuePool } from '../../src/engine/key-value-pool.ts';
import { RadixCache } from '../../src/engine/radix-cache.ts';

const ids = (...values: number[]) => Int32Array.from(values);

describe('prefix cache', () => {
  it('finds the longest prefix it holds, also in the middle of an edge', () => {
    const cache = new RadixCache(() => undefined);
    assert.equal(cache.insert(ids(1, 2, 3, 4), ids(10, 11, 12, 13)), 0);
    assert.deepEqual([...cache.match(ids(1, 2, 9)).slots], [10, 11]);
    assert.equal(cache.insert(ids(1, 2, 9), ids(10, 11, 20)), 2);
    assert.deepEqual([...cache.match(ids(1, 2, 3, 4, 5)).slots], [10, 11, 12, 13]);
    assert.deepEqual([...cache.match(ids(1, 2, 9, 9)).slots], [10, 11, 20]);
    assert.deepEqual([...cache.match(ids(2)).slots], []);
    assert.equal(cache.size, 5);
  });

  it('evicts the least recently used leaves first, and nothing that is locked', () => {
    const freed: number[] = [];
    const cache = new RadixCache((slots) => freed.push(...slots));
    cache.insert(ids(1, 2), ids(0, 1));
    cache.insert(ids(1, 3), ids(0, 2));
    cache.insert(ids(7, 8), ids(3, 4));
    const { position } = cache.match(ids(1, 2));
    cache.lock(position);
    assert.equal(cache.evictable, 3);
    assert.equal(cache.evict(1), 1);
    assert.deepEqual(freed, [2]);
    assert.equal(cache.evict(10), 2);
    assert.deepEqual(freed, [2, 3, 4]);
    cache.unlock(position);
    assert.equal(cache.evictable, 2);
  });

  it('keeps sequences of different keys apart, and evicts the oldest of all of them', () => {
    const freed: number[] = [];
    const cache = new RadixCache((slots) => freed.push(...slots));
    assert.equal(cache.insert(ids(1, 2), ids(0, 1), 'a'), 0);
    assert.equal(cache.insert(ids(1, 2, 3), ids(2, 3, 4), 'b'), 0);
    assert.deepEqual([...cache.match(ids(1, 2, 3)).slots], []);
    assert.deepEqual([...cache.match(ids(1, 2, 3), 'a').slots], [0, 1]);
    assert.deepEqual([...cache.match(ids(1, 2, 3), 'b').slots], [2, 3, 4]);
    assert.equal(cache.size, 5);
    assert.equal(cache.evict(1), 2);
    assert.deepEqual(freed, [0, 1]);
    assert.equal(cache.insert(ids(1), ids(0), 'a'), 0);
    cache.clear();
    assert.equal(cache.size, 0);
    assert.deepEqual([...cache.match(ids(1, 2, 3), 'b').slots], []);
  });

  it('keeps a lock when the locked edge is split', () => {
    const cache = new RadixCache(() => undefined);
    cache.insert(ids(1, 2, 3), ids(0, 1, 2));
    const { position } = cache.match(ids(1, 2, 3));
    cache.lock(position);
    cache.insert(ids(1, 5), ids(0, 9));
    assert.equal(cache.evict(100), 1);
    cache.unlock(position);
    assert.equal(cache.evict(100), 3);
    assert.equal(cache.size, 0);
  });

  it('never loses or doubles a slot, whatever is inserted, locked and evicted', () => {
    const sequence = fc.array(fc.nat(3), { minLength: 1, maxLength: 8 });
    const action = fc.oneof(
      sequence.map((tokens) => ({ type: 'run' as const, tokens })),
      fc.nat(5).map((count) => ({ type: 'evict' as const, count })),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const pool = new KeyValuePool(24);
        const values = new Map<number, string>();
        for (const each of actions) {
          if (each.type === 'evict') {
            pool.cache.evict(each.count);
            continue;
          }
          const tokens = Int32Array.from(each.tokens);
          const { slots: cached, position } = pool.cache.match(tokens);
          cached.forEach((slot, index) =>
            assert.equal(values.get(slot), each.tokens.slice(0, index + 1).join(), 'a cached slot holds another prefix'),
          );
          pool.cache.lock(position);
          const slots = new Int32Array(tokens.length);
          slots.set(cached);
          pool.take(slots.subarray(cached.length));
          slots.forEach((slot, index) => values.set(slot, each.tokens.slice(0, index + 1).join()));
          const known = pool.cache.insert(tokens, slots);
          pool.release(slots.slice(cached.length, Math.max(known, cached.length)));
          pool.cache.unlock(position);
          assert.equal(pool.available, 24);
        }
      }),
      { seed: 3 },
    );
  });

  it('says when the pool is full', () => {
    const pool = new KeyValuePool(2);
    pool.take(new Int32Array(2));
    assert.throws(() => pool.take(new Int32Array(1)), /no 1 slots left/);
  });
});
