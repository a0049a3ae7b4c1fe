import assert from 'node:assert/strict';
import { routerStatusSchema, type RouterStatus } from '../../src/api/router-status.ts';
import { PollPause } from '../../src/controllers/poll-pause.ts';

const none = { slm: 0, llm: 0, fallback: 0 };
const router = (tokens: number): RouterStatus =>
  routerStatusSchema.parse({
    configDigest: 'd',
    strategy: 'neural',
    inFlight: 0,
    tokensTotal: none,
    window: { seconds: 60, tokens: { ...none, slm: tokens }, tokensPerSecond: tokens / 60 },
    parameters: {},
    llmEndpoints: [],
  });
const quiet = { isUnderWay: false, changed: false, routers: [router(0)] };

describe('the pause before the next look', () => {
  const looks = (pause: PollPause, count: number, look = quiet): number[] => Array.from({ length: count }, () => pause.nextMs('a', look));

  it('is short while something is under way, steady under traffic, and longer for who has answered nobody for a while', () => {
    const pause = new PollPause(() => 0.5);
    assert.deepEqual(looks(pause, 2, { ...quiet, isUnderWay: true }), [2_000, 2_000]);
    assert.deepEqual(looks(pause, 9, { ...quiet, routers: [router(0), router(7)] }), Array(9).fill(15_000));
    assert.deepEqual(looks(pause, 4), Array(4).fill(15_000));
    assert.deepEqual(looks(pause, 9), Array(9).fill(45_000));
  });

  it('grows with the number of deployments that answer nobody, up to three minutes', () => {
    const pauseAmong = (count: number): number => {
      const pause = new PollPause(() => 0.5);
      for (let index = 1; index < count; index++) pause.nextMs(`other-${index}`, quiet);
      return looks(pause, 5).at(-1) ?? NaN;
    };
    assert.deepEqual([10, 250, 500, 1_000, 5_000].map(pauseAmong), [45_000, 45_000, 90_000, 180_000, 180_000]);
  });

  it('is steady again after tokens, after a change, and for a namesake', () => {
    for (const waking of [
      { ...quiet, routers: [router(1)] },
      { ...quiet, changed: true },
    ]) {
      const pause = new PollPause(() => 0.5);
      looks(pause, 9);
      assert.deepEqual(looks(pause, 1, waking), [15_000]);
      assert.deepEqual(looks(pause, 1), [15_000]);
    }
    const pause = new PollPause(() => 0.5);
    looks(pause, 9);
    pause.forget('a');
    assert.deepEqual(looks(pause, 1), [15_000]);
  });

  it('varies by a tenth', () => {
    assert.deepEqual(looks(new PollPause(() => 0), 1), [13_500]);
    assert.deepEqual(looks(new PollPause(() => 1), 1), [16_500]);
  });
});
