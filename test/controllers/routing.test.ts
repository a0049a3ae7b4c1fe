import assert from 'node:assert/strict';
import type { RouterStatus } from '../../src/api/router-status.ts';
import { aggregateRouting, routingSummary, significant } from '../../src/controllers/routing.ts';

const router = (tokens: { slm: number; llm: number; fallback?: number }, tokensPerSecond: number, parameters = {}): RouterStatus => ({
  configDigest: 'd',
  strategy: 'entropy',
  alarms: [],
  waitingFor: [],
  inFlight: 0,
  tokensTotal: { slm: 0, llm: 0, fallback: 0 },
  window: { seconds: 60, tokens: { fallback: 0, ...tokens }, tokensPerSecond },
  parameters,
  llmEndpoints: [],
});

describe('routing numbers', () => {
  it('weigh each router by its tokens and add up their speeds', () => {
    const routing = aggregateRouting([router({ slm: 90, llm: 10 }, 40), router({ slm: 200, llm: 100 }, 100.4)], undefined);
    assert.deepEqual(routing, { ratio: 0.28, tokensPerSecond: 140 });
  });

  it("give the published average of activated parameters for the published pair's ratio", () => {
    const pair = { slm: 1.5e9, llm: 32e9 };
    const tokens = { slm: 874, llm: 126 };
    assert.equal(aggregateRouting([router(tokens, 84, pair)], undefined)?.averageActivatedParams, 5.5e9);
    const routing = aggregateRouting([router(tokens, 84, { ...pair, router: 56_302_081 })], undefined);
    assert.equal(routing?.averageActivatedParams, 5.6e9);
    assert.deepEqual(routingSummary(routing), { llmRatio: '13%', tokensPerSecond: '84', params: '5.6B' });
  });

  it('keep the ratio, but not the speed, of a deployment that went quiet', () => {
    const before = { ratio: 0.13, tokensPerSecond: 84 };
    assert.deepEqual(aggregateRouting([router({ slm: 0, llm: 0 }, 0)], before), { ratio: 0.13, tokensPerSecond: 0 });
  });

  it('are absent before the first token', () => {
    assert.equal(aggregateRouting([router({ slm: 0, llm: 0 }, 0)], undefined), undefined);
    assert.deepEqual(routingSummary(undefined), {});
  });

  it('have two significant digits, so that small changes write nothing', () => {
    assert.deepEqual(
      [0.12649, 139.7, 0, 1234].map((value) => significant(value)),
      [0.13, 140, 0, 1200],
    );
  });
});
