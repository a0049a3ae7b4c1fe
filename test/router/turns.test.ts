import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Turns } from '../../src/router/turns.ts';

/** Keeps the event loop. */
function busy(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
}

describe('turns on the event loop', () => {
  it('are taken at once while there are few', () => {
    const turns = new Turns();
    let taken = 0;
    turns.take(() => taken++);
    turns.take(() => taken++);
    assert.equal(taken, 2);
  });

  it('keep their order, one a round once the budget of a round is used', async () => {
    const turns = new Turns();
    const order: number[] = [];
    for (let index = 0; index < 50; index++)
      turns.take(() => {
        order.push(index);
        busy(1);
      });
    assert.ok(order.length < 50, 'a burst is not dealt with in one round');
    let rounds = 0;
    while (order.length < 50) {
      await new Promise(setImmediate);
      rounds++;
    }
    assert.ok(rounds > 40, `${rounds} rounds`);
    assert.deepEqual(
      order,
      Array.from({ length: 50 }, (_, index) => index),
    );
  });

  it('let timers and messages come between', async () => {
    const turns = new Turns();
    let taken = 0;
    for (let index = 0; index < 50; index++)
      turns.take(() => {
        taken++;
        busy(2);
      });
    await sleep(1);
    assert.ok(taken < 25, `${taken} turns came before a timer of 1 ms`);
  });
});
