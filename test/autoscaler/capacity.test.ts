import assert from 'node:assert/strict';
import { initialCapacity, observeCapacity, seedCapacity, type CapacityState } from '../../src/autoscaler/index.ts';
import { replicas, sampleOf } from './world.ts';

/** A minute and a bit of samples, 5 s apart. */
function minute(state: CapacityState, fromMs: number, done: number, latencyP95Ms: number, count = 2): CapacityState {
  let next = state;
  for (let step = 0; step <= 12; step++)
    next = observeCapacity(next, sampleOf(fromMs + 5000 * step, done, replicas(count), { latencyP95Ms }), 100);
  return next;
}

describe('the measured capacity of a replica', () => {
  const seeded = seedCapacity(initialCapacity(), 50, 1);

  it('is the benchmark until traffic has shown more', () => {
    assert.deepEqual(seeded.measured, { perSecond: 50, source: 'Benchmark', measuredAtMs: 1 });
    assert.deepEqual(minute(seeded, 0, 80, 60).measured, seeded.measured);
    assert.deepEqual(minute(seeded, 0, 160, 90).measured, { perSecond: 80, source: 'Traffic', measuredAtMs: 60_000 });
  });

  it('does not follow a minute beyond the latency target upwards', () => {
    assert.deepEqual(minute(seeded, 0, 400, 101).measured, seeded.measured);
  });

  it('comes down slowly when calls are late at a lower rate', () => {
    const once = minute(seeded, 0, 60, 150);
    assert.equal(once.measured?.perSecond, 49);
    assert.ok((minute(once, 100_000, 60, 150).measured?.perSecond ?? 0) > 48);
  });

  it('is not taken from a minute in which replicas came or went, or samples are missing', () => {
    let state = seeded;
    for (let step = 0; step <= 24; step++) state = observeCapacity(state, sampleOf(5000 * step, 400, replicas(1 + (step % 10)), {}), 100);
    assert.deepEqual(state.measured, seeded.measured);
    state = observeCapacity(observeCapacity(seeded, sampleOf(0, 400, replicas(1)), 100), sampleOf(61_000, 400, replicas(1)), 100);
    assert.deepEqual(state.measured, seeded.measured);
  });

  it('stays unknown without a benchmark until calls were late: little traffic is not little capacity', () => {
    const little = minute(initialCapacity(), 0, 2, 30);
    assert.equal(little.measured, null);
    assert.equal(minute(little, 100_000, 200, 300).measured?.perSecond, 70);
  });

  it('keeps what traffic has shown when a benchmark comes later', () => {
    const shown = minute(seeded, 0, 160, 90);
    assert.deepEqual(seedCapacity(shown, 30, 9).measured, shown.measured);
  });

  it('survives JSON', () => {
    const state = observeCapacity(seeded, sampleOf(0, 100, replicas(2)), 100);
    assert.deepEqual(JSON.parse(JSON.stringify(state)), state);
  });
});
