import assert from 'node:assert/strict';
import { routerConfigSchema, type RouterConfig, type RouterConfigInput } from '../../../src/api/router-config.ts';
import { strategies, strategyTraits } from '../../../src/api/strategies.ts';
import { ApiError } from '../../../src/router/errors.ts';
import { routingOf, routingProblem, type Loaded, type RoutingWish } from '../../../src/router/routing.ts';
import { noSignals, signalNames } from '../../../src/router/scoring/signals.ts';

const checkpoint = { uri: '/router.pt' };

function configOf(change: Partial<RouterConfigInput> = {}): RouterConfig {
  return routerConfigSchema.parse({
    modelName: 'pair',
    strategy: 'neural',
    checkpoint,
    maxDraftTokens: 8,
    onLLMUnavailable: 'UseSLM',
    llmTimeoutSeconds: 30,
    drainingPodUIDs: [],
    ...change,
  });
}

const network: Loaded = { threshold: 0.4, signals: new Set(signalNames) };
const recovery: Loaded = { threshold: null, signals: new Set(['entropy', 'aleatoric', 'epistemic']) };
const nothing: Loaded = { threshold: null, signals: new Set(['entropy']) };

function divergent(wish: RoutingWish, config: RouterConfig, signals: object, loaded = network): boolean {
  const { strategy } = routingOf(wish, config, loaded);
  assert.ok(strategy !== 'llm');
  return strategy.decide(strategy.initial, { id: 0, position: 0, signals: { ...noSignals, ...signals } }).divergent;
}

describe('the threshold of a request', () => {
  const cases: readonly (readonly [string, RoutingWish, Partial<RouterConfigInput>, Loaded, number | undefined])[] = [
    ["the checkpoint's own when nobody says another", {}, {}, network, 0.4],
    ["the configuration's before the checkpoint's", {}, { threshold: 0.7 }, network, 0.7],
    ["the request's before the configuration's", { threshold: 0.1 }, { threshold: 0.7 }, network, 0.1],
    ["the configuration's with another strategy of the same unit", { strategy: 'neural_rolling' }, { threshold: 0.7 }, network, 0.7],
    ['0.45 nats for entropy, whatever probability is configured', { strategy: 'entropy' }, { threshold: 0.7 }, network, 0.45],
    ["the configuration's nats for entropy", {}, { strategy: 'entropy', threshold: 0.7 }, network, 0.7],
    ['0.45 nats for entropy when nobody says another', {}, { strategy: 'entropy' }, nothing, 0.45],
    ["the checkpoint's own, not the configured nats", { strategy: 'neural' }, { strategy: 'entropy', threshold: 0.7 }, network, 0.4],
    ['none with a strategy that has none', {}, { strategy: 'rolling' }, recovery, undefined],
    ["the configuration's outside the bounds for requests", {}, { threshold: 0.9, overrides: { maxThreshold: 0.5 } }, network, 0.9],
    ['one on its lower bound', { threshold: 0.2 }, { overrides: { minThreshold: 0.2, maxThreshold: 0.5 } }, network, 0.2],
    ['one on its upper bound', { threshold: 0.5 }, { overrides: { minThreshold: 0.2, maxThreshold: 0.5 } }, network, 0.5],
  ];
  for (const [what, wish, change, loaded, expected] of cases) {
    it(`is ${what}`, () => assert.equal(routingOf(wish, configOf(change), loaded).threshold, expected));
  }

  it('is what decides', () => {
    assert.equal(divergent({}, configOf(), { probability: 0.4 }), true);
    assert.equal(divergent({}, configOf(), { probability: 0.39 }), false);
    assert.equal(divergent({ threshold: 0.3 }, configOf(), { probability: 0.39 }), true);
    assert.equal(divergent({ strategy: 'entropy', threshold: 0 }, configOf(), { entropy: 0 }), true);
  });
});

describe('the options of a request', () => {
  const immediate = configOf({ strategy: 'immediate', strategyOptions: { entropyThreshold: 0.5 } });

  it("complete the configuration's with the same strategy", () => {
    assert.deepEqual(routingOf({}, immediate, network).signals, ['entropy']);
    assert.deepEqual(routingOf({ options: { epistemicThreshold: 0.1 } }, immediate, network).signals, ['epistemic', 'entropy']);
    assert.equal(divergent({ options: { entropyThreshold: 0.6 } }, immediate, { entropy: 0.55 }), false);
  });

  it("replace the configuration's with another strategy", () => {
    const rolling = configOf({ strategy: 'rolling', strategyOptions: { aleatoricThreshold: 9 } });
    assert.equal(divergent({ strategy: 'immediate' }, rolling, { aleatoric: 2.275 }), true);
    assert.equal(divergent({}, rolling, { aleatoric: 2.275, entropy: 1 }), false);
  });
});

describe('the signals of a request', () => {
  it('are those that its strategy looks at, and none where one side supplies every token', () => {
    const signalsOf = (wish: RoutingWish) => routingOf(wish, configOf(), network).signals;
    assert.deepEqual(
      strategies.map((strategy) => [strategy, signalsOf({ strategy })]),
      [
        ['neural', ['probability']],
        ['neural_rolling', ['probability']],
        ['entropy', ['entropy']],
        ['immediate', ['aleatoric']],
        ['momentum', ['aleatoric']],
        ['rolling', ['aleatoric', 'entropy']],
        ['duo_rolling', ['aleatoric']],
        ['random', []],
        ['slm', []],
        ['llm', []],
      ],
    );
    assert.equal(routingOf({ strategy: 'llm' }, configOf(), nothing).strategy, 'llm');
  });
});

describe('a request that may not have what it wants', () => {
  const bounded = { overrides: { minThreshold: 0.2, maxThreshold: 0.5 } };
  const refused: readonly (readonly [string, RoutingWish, Partial<RouterConfigInput>, Loaded, string, RegExp])[] = [
    ['a threshold below the bounds', { threshold: 0.1 }, bounded, network, 'threshold', /must be at least 0\.2 and at most 0\.5 here/],
    [
      'a threshold above the bounds',
      { threshold: 0.6 },
      { overrides: { maxThreshold: 0.5 } },
      network,
      'threshold',
      /must be at most 0\.5 here/,
    ],
    [
      'a threshold in a unit without bounds',
      { strategy: 'entropy', threshold: 0.3 },
      bounded,
      network,
      'threshold',
      /in nats.*no limits.*leave it out/,
    ],
    ['a probability above 1', { threshold: 1.5 }, {}, network, 'threshold', /from 0 to 1/],
    [
      'a threshold where there is none',
      { strategy: 'random', threshold: 0.5 },
      {},
      network,
      'threshold',
      /strategy random has none; leave it out/,
    ],
    [
      'no threshold where the checkpoint has none',
      { strategy: 'neural' },
      { strategy: 'slm' },
      { ...network, threshold: null },
      'threshold',
      /give one/,
    ],
    [
      'a strategy that is not on the list',
      { strategy: 'llm' },
      { overrides: { strategies: ['slm', 'random'] } },
      network,
      'strategy',
      /llm may not be chosen here; leave it out, or choose neural, random, slm/,
    ],
    [
      'any strategy when the list is empty',
      { strategy: 'slm' },
      { overrides: { strategies: [] } },
      network,
      'strategy',
      /may not be chosen here; leave it out$/,
    ],
    [
      'a network where none is loaded',
      { strategy: 'neural', threshold: 0.5 },
      { strategy: 'entropy' },
      recovery,
      'strategy',
      /neural needs probability.*leave it out/,
    ],
    [
      'raw logits where none can be recovered',
      { strategy: 'momentum' },
      { strategy: 'entropy' },
      nothing,
      'strategy',
      /momentum needs aleatoric/,
    ],
    [
      'an option whose signal cannot be had',
      { options: { epistemicThreshold: 0.1 } },
      { strategy: 'immediate', strategyOptions: { entropyThreshold: 1 } },
      nothing,
      'strategy',
      /needs epistemic/,
    ],
    [
      'an option of another strategy',
      { options: { windowSize: 3 } },
      {},
      network,
      'options.windowSize',
      /strategy neural has no such option/,
    ],
    [
      'an option of a strategy that is not on the list',
      { options: { windowSize: 3 } },
      { strategy: 'neural_rolling', overrides: { strategies: [] } },
      network,
      'options.windowSize',
      /may not be chosen here/,
    ],
  ];
  for (const [what, wish, change, loaded, field, message] of refused) {
    it(`is refused ${what}, naming the field and the limits`, () => {
      assert.throws(
        () => routingOf(wish, configOf(change), loaded),
        (error) => error instanceof ApiError && error.status === 400 && error.param === `r2r.${field}` && message.test(error.message),
      );
    });
  }

  it('may name the strategy of the deployment, also when the list is empty', () => {
    assert.equal(routingOf({ strategy: 'neural' }, configOf({ overrides: { strategies: [] } }), network).name, 'neural');
  });

  it('may have every strategy and threshold when nothing is said', () => {
    for (const strategy of strategies) {
      const threshold = strategyTraits[strategy].threshold ? 1 : undefined;
      assert.equal(routingOf({ strategy, threshold }, configOf(), network).name, strategy);
    }
  });
});

describe('a configuration that cannot be served with what is loaded', () => {
  const cases: readonly (readonly [string, Partial<RouterConfigInput>, Loaded, RegExp | undefined])[] = [
    ['a network that is loaded', {}, network, undefined],
    ['entropy with nothing loaded', { strategy: 'entropy', checkpoint: undefined }, nothing, undefined],
    ['momentum with raw logits recovered', { strategy: 'momentum' }, recovery, undefined],
    ['a network that is not loaded', { threshold: 0.5 }, recovery, /strategy neural needs probability.*set checkpoint/],
    ['raw logits that cannot be recovered', { strategy: 'rolling' }, nothing, /strategy rolling needs aleatoric/],
    ['a checkpoint without a threshold', {}, { ...network, threshold: null }, /no threshold of its own; set threshold/],
  ];
  for (const [what, change, loaded, problem] of cases) {
    it(`${problem ? 'is told' : 'is none'}: ${what}`, () => {
      const config = configOf(change);
      if (!problem) {
        assert.equal(routingProblem(config, loaded), undefined);
        return;
      }
      assert.match(routingProblem(config, loaded) ?? '', problem);
      assert.throws(
        () => routingOf({}, config, loaded),
        (error) => error instanceof ApiError && error.status === 503,
      );
    });
  }
});
