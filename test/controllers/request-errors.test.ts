import assert from 'node:assert/strict';
import { routerStatusSchema } from '../../src/api/router-status.ts';
import type { RouterStatus } from '../../src/api/router-status.ts';
import { requestErrors } from '../../src/controllers/request-errors.ts';

const none = { slm: 0, llm: 0, fallback: 0 };
const router = (requests?: { total: number; failed: number }): RouterStatus =>
  routerStatusSchema.parse({
    configDigest: 'd',
    strategy: 'neural',
    inFlight: 0,
    tokensTotal: none,
    window: { seconds: 60, tokens: none, tokensPerSecond: 0, ...(requests && { requests }) },
    parameters: {},
    llmEndpoints: [],
  });

describe('failed requests of the last minute', () => {
  const told: readonly (readonly [string, readonly RouterStatus[]])[] = [
    ['five of a hundred', [router({ total: 100, failed: 5 })]],
    ['every one of five', [router({ total: 5, failed: 5 })]],
    ['five of a hundred over all routers', [router({ total: 60, failed: 0 }), router({ total: 40, failed: 5 })]],
    ['six of a hundred beside a router of an older version', [router(), router({ total: 100, failed: 6 })]],
  ];
  for (const [sentence, routers] of told)
    it(`are told when they are ${sentence}`, () => assert.equal(requestErrors(routers)?.reason, 'RouterErrors'));

  const notTold: readonly (readonly [string, readonly RouterStatus[]])[] = [
    ['none', [router({ total: 0, failed: 0 })]],
    ['every one of four', [router({ total: 4, failed: 4 })]],
    ['five of 101', [router({ total: 101, failed: 5 })]],
    ['unknown, of routers of an older version', [router(), router()]],
    ['unknown, without a router', []],
  ];
  for (const [sentence, routers] of notTold)
    it(`are no news when they are ${sentence}`, () => assert.equal(requestErrors(routers), undefined));

  it('are counted in the message', () => {
    const { message } = requestErrors([router({ total: 30, failed: 4 }), router({ total: 10, failed: 3 })]) ?? {};
    assert.match(message ?? '', /^7 of 40 requests of the last minute ended with an error/);
  });
});
