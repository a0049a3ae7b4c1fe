import assert from 'node:assert/strict';
import { routerDefaults } from '../../src/api/router-config.ts';
import { ConfigError, readConfig } from '../../src/router/live-config.ts';

/** What the operator's first version wrote. */
const first = {
  modelName: 'tiny',
  strategy: 'entropy',
  threshold: 0.45,
  maxDraftTokens: 8,
  onLLMUnavailable: 'UseSLM',
  llmTimeoutSeconds: 30,
  drainingPodUIDs: [],
};

describe('the live configuration', () => {
  it('of an operator that knows fewer fields is filled up', () => {
    const { config } = readConfig(JSON.stringify(first));
    const { device, lookahead, maxLookaheadCalls, limits } = routerDefaults;
    assert.deepEqual(config, { ...first, strategyOptions: {}, device, lookahead, maxLookaheadCalls, overrides: {}, limits });
  });

  it('of an operator that knows more fields is read without them, and they count in its digest', () => {
    const more = readConfig(JSON.stringify({ ...first, colour: 'red', limits: { maxMood: 1 }, strategyOptions: { mood: 1 } }));
    const less = readConfig(JSON.stringify(first));
    assert.deepEqual(more.config, less.config);
    assert.notEqual(more.digest, less.digest);
  });

  const wrong: readonly (readonly [string, object, RegExp])[] = [
    ['an unknown strategy', { strategy: 'neural_multi_input' }, /wrong at strategy/],
    ['an unknown strategy among those of requests', { overrides: { strategies: ['slm', 'dice'] } }, /wrong at overrides\.strategies\.1/],
    ['a neural strategy without a checkpoint', { strategy: 'neural' }, /wrong at checkpoint: .*set checkpoint\.uri/],
    ['a checkpoint without an address', { checkpoint: {} }, /wrong at checkpoint\.uri/],
    ['a probability above 1', { strategy: 'neural', checkpoint: { uri: '/r.pt' }, threshold: 2 }, /wrong at threshold: is a probability/],
    ['a negative threshold', { threshold: -1 }, /wrong at threshold/],
    ['a window of no token', { strategyOptions: { windowSize: 0 } }, /wrong at strategyOptions\.windowSize/],
    ['an unknown look-ahead', { lookahead: 'Far' }, /wrong at lookahead/],
    ['an unknown precision', { precision: 'int4' }, /wrong at precision/],
    ['no room for a request', { limits: { maxConcurrentRequests: 0 } }, /wrong at limits\.maxConcurrentRequests/],
  ];
  for (const [what, change, message] of wrong) {
    it(`is refused with ${what}, naming the place`, () => {
      assert.throws(
        () => readConfig(JSON.stringify({ ...first, ...change })),
        (error) => error instanceof ConfigError && message.test(error.message),
      );
    });
  }
});
