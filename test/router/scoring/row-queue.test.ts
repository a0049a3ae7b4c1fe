import assert from 'node:assert/strict';
import fc from 'fast-check';
import { RowQueue } from '../../../src/router/scoring/row-queue.ts';

describe('the queue of rows', () => {
  it('puts everything that waits into one batch, oldest first', () => {
    const queue = new RowQueue<string>();
    queue.add('a', 3);
    queue.add('b', 40);
    queue.add('nothing', 0);
    assert.deepEqual(queue.take(64), [
      { request: 'a', from: 0, to: 3 },
      { request: 'b', from: 0, to: 40 },
    ]);
    assert.deepEqual([queue.rows, queue.take(64)], [0, []]);
  });

  it('lets no long block hold up the others', () => {
    const queue = new RowQueue<string>();
    queue.add('long', 64);
    queue.add('short', 8);
    queue.add('late', 20);
    assert.deepEqual(queue.take(40), [
      { request: 'long', from: 0, to: 16 },
      { request: 'short', from: 0, to: 8 },
      { request: 'late', from: 0, to: 16 },
    ]);
    assert.deepEqual(queue.take(40), [
      { request: 'long', from: 16, to: 52 },
      { request: 'late', from: 16, to: 20 },
    ]);
  });

  it('takes every row of every request once, in order, whatever the sizes, batches and departures', () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({ add: fc.integer({ min: 0, max: 70 }) }),
        fc.record({ take: fc.integer({ min: 1, max: 64 }) }),
        fc.record({ drop: fc.nat(20) }),
      ),
    );
    fc.assert(
      fc.property(steps, (all) => {
        const queue = new RowQueue<number>();
        const requests: { rows: number; taken: number; gone: boolean }[] = [];
        for (const step of all) {
          if ('add' in step) {
            queue.add(requests.length, step.add);
            requests.push({ rows: step.add, taken: 0, gone: false });
          } else if ('drop' in step) {
            queue.drop(new Set([step.drop]));
            if (requests[step.drop]) requests[step.drop]!.gone = true;
          } else {
            const slices = queue.take(step.take);
            const taken = slices.reduce((sum, { from, to }) => sum + to - from, 0);
            for (const { request, from, to } of slices) {
              assert.equal(from, requests[request]!.taken);
              assert.ok(to > from && !requests[request]!.gone);
              requests[request]!.taken = to;
            }
            assert.ok(taken === step.take || queue.rows === 0, 'a batch is full while rows wait');
          }
          const waiting = requests.reduce((sum, { rows, taken, gone }) => sum + (gone ? 0 : rows - taken), 0);
          assert.equal(queue.rows, waiting);
        }
      }),
    );
  });
});
