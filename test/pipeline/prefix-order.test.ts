import assert from 'node:assert/strict';
import fc from 'fast-check';
import { callByPrefix, prefixOrder } from '../../src/pipeline/prefix-order.ts';

const sizes = fc.array(fc.nat(6), { maxLength: 8 });

describe('calls whose prompts begin alike', () => {
  it('begin with the longest of each group', () => {
    const order = prefixOrder([3, 2, 2], 1).map(({ group, index, leads }) => `${group}${index}${leads ? '!' : ''}`);
    assert.deepEqual(order, ['02!', '00', '01', '11!', '10', '21!', '20']);
    const ahead = prefixOrder([3, 2, 2], 4).map(({ group, index, leads }) => `${group}${index}${leads ? '!' : ''}`);
    assert.deepEqual(ahead, ['02!', '11!', '00', '01', '21!', '10', '20']);
  });

  it('are each made once, none of a group before its longest is answered', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 9 }), async (groups, width) => {
        const made: string[] = [];
        const answered = new Set<number>();
        let [inFlight, most] = [0, 0];
        await callByPrefix(groups, width, async (group, index) => {
          made.push(`${group}/${index}`);
          most = Math.max(most, ++inFlight);
          if (index === (groups[group] ?? 0) - 1) {
            await new Promise(setImmediate);
            answered.add(group);
          } else assert.ok(answered.has(group));
          inFlight--;
        });
        const all = groups.flatMap((size, group) => Array.from({ length: size }, (_, index) => `${group}/${index}`));
        assert.deepEqual(made.sort(), all.sort());
        assert.ok(most <= width);
      }),
    );
  });

  it('end with the first that fails', async () => {
    let made = 0;
    const calls = callByPrefix([50], 2, async () => {
      await new Promise(setImmediate);
      if (++made === 3) throw new Error('gone');
    });
    await assert.rejects(calls, /gone/);
    assert.ok(made < 10);
  });
});
