import assert from 'node:assert/strict';
import type { RouterClient } from '../../../src/controllers/router-client.ts';
import { Benchmark } from '../../../src/controllers/scaling/benchmark.ts';
import type { BenchmarkFacts } from '../../../src/controllers/scaling/benchmark.ts';

const facts: BenchmarkFacts = { wanted: true, idle: true, address: '10.0.0.1', revision: 'aaaaaaaa', latencyTargetMs: 200 };

describe('the benchmark of an LLM replica', () => {
  let signals: AbortSignal[];
  let answer: (figure: number | undefined) => void;
  let figures: [string, number][];
  let benchmark: Benchmark;

  beforeEach(() => {
    signals = [];
    figures = [];
    const routers: RouterClient = {
      status: () => Promise.resolve(undefined),
      probe: () => Promise.resolve(undefined),
      benchmark: (_, __, signal) => {
        signals.push(signal);
        return new Promise((resolve) => {
          answer = resolve;
        });
      },
      close: () => Promise.resolve(),
    };
    benchmark = new Benchmark(routers, (revision, perSecond) => figures.push([revision, perSecond]));
  });
  const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

  it('runs once, and hands its figure over with the revision that it is of', async () => {
    benchmark.look(facts, 0);
    benchmark.look(facts, 5_000);
    assert.equal(signals.length, 1);
    assert.equal(benchmark.running, true);
    answer(40);
    await settled();
    assert.deepEqual(figures, [['aaaaaaaa', 40]]);
    assert.equal(benchmark.running, false);
  });

  it('does not begin while clients are there, no figure is wanted, or no router can be asked', () => {
    for (const change of [{ idle: false }, { wanted: false }, { address: undefined }]) benchmark.look({ ...facts, ...change }, 0);
    assert.equal(signals.length, 0);
  });

  it('is given up when clients come, whatever it would have said', async () => {
    benchmark.look(facts, 0);
    benchmark.look({ ...facts, idle: false }, 1_000);
    assert.equal(signals[0]?.aborted, true);
    assert.equal(benchmark.running, false);
    answer(40);
    await settled();
    assert.deepEqual(figures, []);
  });

  it('tries again after a minute when it gave no figure', async () => {
    benchmark.look(facts, 0);
    answer(undefined);
    await settled();
    benchmark.look(facts, 30_000);
    assert.equal(signals.length, 1);
    benchmark.look(facts, 60_000);
    assert.equal(signals.length, 2);
  });
});
