import assert from 'node:assert/strict';
import { EngineCalls } from '../../src/pipeline/engine-calls.ts';
import { Progress } from '../../src/pipeline/progress.ts';
import { defaultTuning, type Clock, type StepEngine } from '../../src/pipeline/step.ts';
import { EngineError } from '../../src/sglang/index.ts';

/** Time that passes only by pauses. */
class TurnedClock implements Clock {
  now = 0;
  readonly pauses: number[] = [];

  nowMs(): number {
    return this.now;
  }

  pause(delayMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.pauses.push(delayMs);
    this.now += delayMs;
    return Promise.resolve();
  }
}

describe('calls to engines', () => {
  const engine = { role: 'llm', url: 'http://127.0.0.1:1' } as StepEngine;
  const make = (concurrency = 2) => {
    const clock = new TurnedClock();
    const progress = new Progress(clock);
    const stop = new AbortController();
    const tuning = { ...defaultTuning, concurrency };
    return { clock, progress, stop, calls: new EngineCalls({ engines: { llm: engine }, tuning, clock, progress, signal: stop.signal }) };
  };
  const failing = (code: EngineError['code'], times: number, retryAfterMs?: number) => {
    let tries = 0;
    return () =>
      ++tries <= times
        ? Promise.reject(new EngineError(code, engine.url, 'no', retryAfterMs === undefined ? {} : { retryAfterMs }))
        : Promise.resolve(tries);
  };

  it('are so many at a time, in the order in which they came', async () => {
    const { calls } = make(3);
    let inFlight = 0;
    let most = 0;
    const started: number[] = [];
    const all = Array.from({ length: 20 }, (_, index) =>
      calls.run('llm', async () => {
        started.push(index);
        most = Math.max(most, ++inFlight);
        await new Promise(setImmediate);
        inFlight--;
      }),
    );
    await Promise.all(all);
    assert.equal(most, 3);
    assert.deepEqual(
      started,
      [...started].sort((a, b) => a - b),
    );
  });

  it('are tried again after doubled pauses, or longer when the server asks for it', async () => {
    const { calls, clock } = make();
    assert.equal(await calls.run('llm', failing('unreachable', 3)), 4);
    assert.deepEqual(clock.pauses, [1000, 2000, 4000]);
    assert.equal(await calls.run('llm', failing('overloaded', 1, 9000)), 2);
    assert.equal(clock.pauses.at(-1), 9000);
  });

  it('that fail for good end the step', async () => {
    const { calls, clock } = make();
    await assert.rejects(calls.run('llm', failing('timeout', 4)), { code: 'PIPELINE_ENGINE', retryable: true, field: 'engines.llm' });
    assert.equal(clock.pauses.length, 3);
    await assert.rejects(calls.run('llm', failing('rejected', 1)), { code: 'PIPELINE_ENGINE', retryable: false });
    assert.equal(clock.pauses.length, 3);
    const defect = new TypeError('a defect');
    await assert.rejects(
      calls.run('llm', () => Promise.reject(defect)),
      defect,
    );
  });

  it('end with the reason when the step is stopped, those that wait too', async () => {
    const { calls, stop } = make(1);
    const reason = new Error('stopped');
    const first = calls.run('llm', async (_, __, signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      signal.throwIfAborted();
    });
    const second = calls.run('llm', () => Promise.resolve());
    stop.abort(reason);
    await assert.rejects(first, reason);
    await assert.rejects(second, reason);
  });

  it('need an engine of that role', () => {
    assert.throws(() => make().calls.engine('verifier'), { code: 'PIPELINE_PARAMS', field: 'engines.verifier' });
  });
});

describe('the progress of a step', () => {
  const started = {
    step: 'respond',
    hash: 'h',
    shard: { index: 0, count: 1 },
    unit: 'questions',
    total: 100,
    partsTotal: 10,
    concurrency: 4,
  };

  it('estimates what is left by what this process did itself', () => {
    const clock = new TurnedClock();
    const progress = new Progress(clock);
    progress.start(started);
    assert.equal(progress.report().etaSeconds, null);
    progress.resume(50);
    clock.now += 10_000;
    progress.advance(10, { tokens: 500 });
    const report = progress.report();
    assert.deepEqual([report.done, report.resumed, report.perSecond, report.etaSeconds, report.tokensPerSecond], [60, 50, 1, 40, 50]);
  });

  it('follows a change of pace within minutes', () => {
    const clock = new TurnedClock();
    const progress = new Progress(clock);
    progress.start({ ...started, total: 100_000 });
    const work = (seconds: number, perSecond: number): void => {
      for (let second = 0; second < seconds; second++) {
        clock.now += 1000;
        progress.advance(perSecond);
      }
    };
    work(3600, 10);
    work(600, 1);
    assert.ok(Math.abs(progress.report().perSecond - 1) < 0.01);
  });

  it('counts how busy the engines are kept', () => {
    const clock = new TurnedClock();
    const progress = new Progress(clock);
    progress.start(started);
    clock.now += 60_000;
    for (let call = 0; call < 4; call++) progress.call(1);
    clock.now += 3000;
    progress.call(-1);
    progress.call(-1);
    clock.now += 1000;
    const { engineUtilisation, callsInFlight } = progress.report();
    assert.deepEqual([engineUtilisation, callsInFlight], [(3 * 4 + 1 * 2) / (4 * 4), 2]);
  });
});
