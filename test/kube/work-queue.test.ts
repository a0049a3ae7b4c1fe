import assert from 'node:assert/strict';
import fc from 'fast-check';
import { WorkQueue } from '../../src/kube/work-queue.ts';
import { FakeClock } from './fake-clock.ts';

const overall = { perSecond: 1e9, burst: 1e9 };

/** What a queue must do, written with lists: slow and plain. */
class Model {
  waiting: string[] = [];
  processing: string[] = [];
  again: string[] = [];
  later: { key: string; at: number }[] = [];

  add(key: string): void {
    if (this.waiting.includes(key) || this.again.includes(key)) return;
    if (this.processing.includes(key)) this.again.push(key);
    else this.waiting.push(key);
  }

  addAfter(key: string, at: number, now: number): void {
    if (at <= now) {
      this.add(key);
      return;
    }
    const pending = this.later.find((entry) => entry.key === key);
    if (pending && pending.at <= at) return;
    this.later = [...this.later.filter((entry) => entry !== pending), { key, at }];
  }

  advanceTo(now: number): void {
    const due = this.later.filter(({ at }) => at <= now).sort((a, b) => a.at - b.at);
    this.later = this.later.filter(({ at }) => at > now);
    for (const { key } of due) this.add(key);
  }

  take(): string | undefined {
    const key = this.waiting.shift();
    if (key !== undefined) this.processing.push(key);
    return key;
  }

  done(key: string): void {
    this.processing = this.processing.filter((other) => other !== key);
    if (!this.again.includes(key)) return;
    this.again = this.again.filter((other) => other !== key);
    this.waiting.push(key);
  }
}

const key = fc.constantFrom('a', 'b', 'c', 'd');
const operation = fc.oneof(
  fc.record({ op: fc.constant('add' as const), key }),
  fc.record({ op: fc.constant('addAfter' as const), key, ms: fc.integer({ min: 0, max: 50 }) }),
  fc.record({ op: fc.constant('take' as const) }),
  fc.record({ op: fc.constant('done' as const), pick: fc.nat(3) }),
  fc.record({ op: fc.constant('advance' as const), ms: fc.integer({ min: 0, max: 30 }) }),
);

/** The next key if there is one now. */
async function takeNow(queue: WorkQueue): Promise<string | undefined> {
  const now = new AbortController();
  const taken = queue.take(now.signal);
  now.abort();
  return taken;
}

describe('work queue', () => {
  it('never hands out a key twice at once, loses no add, and keeps the order, whatever happens', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 80 }), async (operations) => {
        const clock = new FakeClock();
        const queue = new WorkQueue({ name: 'test', clock, overall });
        const model = new Model();
        for (const step of operations) {
          if (step.op === 'add') {
            queue.add(step.key);
            model.add(step.key);
          } else if (step.op === 'addAfter') {
            queue.addAfter(step.key, step.ms);
            model.addAfter(step.key, clock.now() + step.ms, clock.now());
          } else if (step.op === 'take') {
            const busy = [...queue.underWay.keys()];
            const taken = await takeNow(queue);
            assert.ok(taken === undefined || !busy.includes(taken), 'a key under way was handed out again');
            assert.equal(taken, model.take());
          } else if (step.op === 'done') {
            const chosen = model.processing[step.pick % Math.max(1, model.processing.length)];
            if (chosen === undefined) continue;
            queue.done(chosen);
            model.done(chosen);
          } else {
            clock.advance(step.ms);
            model.advanceTo(clock.now());
          }
          assert.equal(queue.depth, model.waiting.length);
        }
        // in the end everything that was promised comes out
        clock.advance(1000);
        model.advanceTo(clock.now());
        for (const busy of [...model.processing]) {
          queue.done(busy);
          model.done(busy);
        }
        const rest = [...model.waiting];
        for (const expected of rest) assert.equal(await takeNow(queue), expected);
        assert.equal(await takeNow(queue), undefined);
      }),
      { numRuns: 500 },
    );
  });

  it('doubles the pause of a failing key from 5 ms, and starts anew once it is forgotten', () => {
    const queue = new WorkQueue({ name: 'test', clock: new FakeClock(), overall });
    assert.deepEqual(
      Array.from({ length: 5 }, () => queue.addRateLimited('a')),
      [5, 10, 20, 40, 80],
    );
    assert.equal(queue.addRateLimited('b'), 5);
    queue.forget('a');
    assert.equal(queue.addRateLimited('a'), 5);
  });

  it('never waits longer than the longest pause, even after a thousand failures', () => {
    const queue = new WorkQueue({ name: 'test', clock: new FakeClock(), overall });
    const pauses = Array.from({ length: 1100 }, () => queue.addRateLimited('a'));
    assert.equal(pauses.at(-1), 1_000_000);
  });

  it('lets 100 failures through at once and ten a second after that', () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ name: 'test', clock });
    const pauses = Array.from({ length: 120 }, (_, i) => queue.addRateLimited(`key-${i}`));
    assert.equal(pauses[99], 5);
    assert.equal(Math.round(pauses[119]!), 2000);
  });

  it('hands a key to a worker that waits for one', async () => {
    const queue = new WorkQueue({ name: 'test', clock: new FakeClock() });
    const taken = queue.take();
    queue.add('a');
    assert.equal(await taken, 'a');
  });

  it('ends every waiting worker when it is shut down, and takes nothing more', async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ name: 'test', clock });
    const taken = queue.take();
    queue.addAfter('a', 10);
    queue.shutDown();
    queue.add('b');
    clock.advance(100);
    assert.equal(await taken, undefined);
    assert.equal(await queue.take(), undefined);
  });
});
