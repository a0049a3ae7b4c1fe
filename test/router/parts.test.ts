import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { routerConfigSchema } from '../../src/api/router-config.ts';
import { loadTokenizer } from '../../src/model/tokenizer-folder.ts';
import { blockLength, initialRate, observeToken } from '../../src/router/block-length.ts';
import { DraftCost } from '../../src/router/draft-cost.ts';
import { entropy } from '../../src/router/entropy.ts';
import { ConfigError, readConfig } from '../../src/router/live-config.ts';
import { RouterMetrics } from '../../src/router/metrics.ts';
import { readModelFacts } from '../../src/router/model-folder.ts';
import { readiness } from '../../src/router/readiness.ts';
import { rendezvous } from '../../src/router/rendezvous.ts';
import { StopStrings } from '../../src/router/stop-strings.ts';
import { TokenWindow } from '../../src/router/token-window.ts';
import { checkSameVocabulary, VocabularyError } from '../../src/router/vocabulary.ts';
import { vocabulary, writeModelFolder } from './model-folder.ts';
import { distribution } from './scripted-models.ts';

describe('entropy', () => {
  const top = (probabilities: readonly number[]) => ({
    ids: Int32Array.from(probabilities.keys()),
    logprobs: Float64Array.from(probabilities, Math.log),
  });
  const near = (given: number, expected: number): void => assert.ok(Math.abs(given - expected) < 1e-12, `${given} is not ${expected}`);

  it('is in nats: ln n for n equally likely tokens, 0 for a certain one', () => {
    near(entropy(top(Array<number>(100).fill(0.01))), Math.log(100));
    near(entropy(top([1])), 0);
    near(entropy(top([0.5, 0.5, 0])), Math.log(2));
  });

  it('counts the mass behind the best tokens as one more token', () => {
    near(entropy(top([0.5, 0.25])), 1.5 * Math.log(2));
    near(entropy(top(Array<number>(100).fill(1 / 101))), Math.log(101));
  });

  it('never passes ln 101 with 100 tokens, and grows as a token gets less certain', () => {
    let before = 0;
    for (const certainty of [0.999, 0.9, 0.7, 0.5, 0.3, 0.1]) {
      const now = entropy(distribution(5, certainty));
      assert.ok(now > before && now <= Math.log(101));
      before = now;
    }
  });
});

describe('the block length', () => {
  it('is the longest where blocks hold, 1 where every token breaks them, and never above the limit', () => {
    const after = (brokenOf4: number): number => {
      let rate = initialRate;
      for (let token = 0; token < 2000; token++) rate = observeToken(rate, token % 4 < brokenOf4, token % 4 < brokenOf4);
      return blockLength(rate.brokenShare, 1, 16);
    };
    assert.deepEqual([after(0), after(4)], [16, 1]);
    assert.ok(after(1) > 1 && after(1) < 16);
    for (let max = 1; max <= 64; max++) assert.ok(blockLength(initialRate.divergentShare, 1, max) <= max);
  });

  it('grows with what a call costs besides its tokens', () => {
    const lengths = [0.1, 0.5, 1, 2, 4].map((overhead) => blockLength(0.126, overhead, 64));
    assert.deepEqual(
      lengths,
      [...lengths].sort((a, b) => a - b),
    );
    assert.ok(lengths[0]! < lengths[4]!);
  });
});

describe('the cost of a draft', () => {
  it('is learnt from calls of different lengths, whatever the step takes, and single stalls do not matter', () => {
    for (const stepMs of [0.5, 3.1, 40]) {
      const cost = new DraftCost();
      for (let call = 0; call < 300; call++) cost.observe(1 + (call % 7), stepMs * (1 + (call % 7) + 1.5) * (call % 50 === 49 ? 30 : 1));
      assert.ok(Math.abs(cost.overheadSteps - 1.5) < 0.3, `${cost.overheadSteps} steps`);
    }
  });

  it('is a usual one while all calls were alike', () => {
    const cost = new DraftCost();
    for (let call = 0; call < 100; call++) cost.observe(4, 20);
    assert.equal(cost.overheadSteps, 0.5);
  });
});

describe('the choice of an LLM replica', () => {
  const ids = (names: readonly string[]) => (key: string) => rendezvous(key, names, (name) => name);
  const keys = Array.from({ length: 3000 }, (_, index) => `conversation ${index}`);

  it('spreads conversations evenly', () => {
    const counts = new Map<string, number>();
    for (const key of keys) counts.set(ids(['a', 'b', 'c'])(key)!, (counts.get(ids(['a', 'b', 'c'])(key)!) ?? 0) + 1);
    for (const count of counts.values()) assert.ok(count > 900 && count < 1100, `${count} of 3000`);
  });

  it('moves only the conversations of a lost replica, whatever the order of the list', () => {
    for (const key of keys) {
      const before = ids(['a', 'b', 'c', 'd'])(key);
      const after = ids(['d', 'c', 'a'])(key);
      if (before !== 'b') assert.equal(after, before);
    }
  });

  it('is none without replicas', () => assert.equal(ids([])('x'), undefined));
});

describe('stop strings', () => {
  it('end a text at the first of them, however it is cut into pieces, and show nothing that could still become one', () => {
    const letters = fc.stringMatching(/^[ab]{0,20}$/);
    const stops = fc.array(fc.stringMatching(/^[ab]{1,4}$/), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(letters, stops, fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 20, maxLength: 20 }), (text, stop, cuts) => {
        const finder = new StopStrings(stop);
        let shown = '';
        let stopped = false;
        for (let at = 0, cut = 0; at < text.length && !stopped; at += cuts[cut++]!) {
          const step = finder.push(text.slice(at, at + cuts[cut]!));
          shown += step.text;
          ({ stopped } = step);
          for (const each of stop) assert.ok(!shown.includes(each), 'a stop string was shown');
        }
        if (!stopped) shown += finder.flush();
        const first = Math.min(...stop.map((each) => text.indexOf(each)).filter((at) => at >= 0));
        // A piece is judged as a whole: it may complete a second stop string that begins before the first one does.
        if (Number.isFinite(first)) assert.ok(stopped && shown.length >= first && text.startsWith(shown));
        else assert.deepEqual([stopped, shown], [false, text]);
      }),
    );
  });
});

describe('the window of emitted tokens', () => {
  it('counts by source since the start and over the last minute', () => {
    let now = 5_000;
    const window = new TokenWindow(() => now);
    window.add('slm', 30);
    now += 2_000;
    window.add('llm', 10);
    assert.deepEqual(window.recent, { seconds: 2, tokens: { slm: 30, llm: 10, fallback: 0 }, tokensPerSecond: 20 });
    now += 58_500;
    window.add('fallback', 1);
    assert.deepEqual(window.recent.tokens, { slm: 0, llm: 10, fallback: 1 });
    now += 120_000;
    assert.deepEqual(window.recent, { seconds: 60, tokens: { slm: 0, llm: 0, fallback: 0 }, tokensPerSecond: 0 });
    assert.deepEqual(window.total, { slm: 30, llm: 10, fallback: 1 });
  });
});

describe('the window of requests', () => {
  it('counts what was answered and what failed, but neither what was refused nor clients that left', () => {
    const metrics = new RouterMetrics();
    const ended: readonly (readonly [number, number?])[] = [
      [200],
      [200],
      [503],
      [400],
      [429],
      [499],
      // Streams that had begun: an error of ours, one of ours that the client did not wait for, and a request that took too long.
      [200, 502],
      [499, 500],
      [200, 408],
    ];
    for (const [code, error] of ended) {
      metrics.requestStarted();
      metrics.requestEnded(code, error);
    }
    assert.deepEqual(metrics.recentRequests, { total: 5, failed: 3 });
    metrics.networkChanged();
    assert.deepEqual(metrics.recentRequests, { total: 0, failed: 0 });
    assert.equal(metrics.requestsInFlight, 0);
  });
});

describe('readiness', () => {
  const config = routerConfigSchema.parse({
    modelName: 'm',
    strategy: 'entropy',
    maxDraftTokens: 4,
    onLLMUnavailable: 'UseSLM',
    llmTimeoutSeconds: 1,
    drainingPodUIDs: [],
  });
  const facts = { stopping: false, config, network: undefined, slmReady: true, llmAvailable: true, llmEverAvailable: true, upMs: 999 };
  const neverAvailable = { llmAvailable: false, llmEverAvailable: false };
  for (const [what, change, ready] of [
    ['everything is there', {}, true],
    ['the LLM went away and the SLM may step in', { llmAvailable: false }, true],
    ['the LLM was never there and the SLM may step in, but not yet', neverAvailable, false],
    ['the LLM was not there for its timeout and the SLM may step in', { ...neverAvailable, upMs: 1000 }, true],
    ...(['Wait', 'Fail'] as const).map(
      (onLLMUnavailable) =>
        [
          `the LLM was never there and the policy is ${onLLMUnavailable}`,
          { ...neverAvailable, upMs: 1e9, config: { ...config, onLLMUnavailable } },
          false,
        ] as const,
    ),
    ['the LLM went away and requests wait for it', { llmAvailable: false, config: { ...config, onLLMUnavailable: 'Wait' as const } }, true],
    ['the LLM went away and requests fail', { llmAvailable: false, config: { ...config, onLLMUnavailable: 'Fail' as const } }, false],
    ['no LLM is needed', { ...neverAvailable, config: { ...config, strategy: 'slm' as const } }, true],
    ['the SLM is away', { slmReady: false }, false],
    ['no configuration came yet', { config: undefined }, false],
    ['the router network is still loaded', { network: 'the router network (importing)' }, false],
    ['it is stopping', { stopping: true }, false],
  ] as const) {
    it(`is ${ready ? 'given' : 'not given'} when ${what}`, () => {
      const state = readiness({ ...facts, ...change });
      assert.equal(state.ready, ready);
      assert.equal(state.waitingFor.length > 0, !ready);
    });
  }
});

describe('the router configuration', () => {
  for (const [text, part] of [
    ['{', 'not JSON'],
    ['[]', 'at its top'],
    [JSON.stringify({ modelName: '' }), 'modelName'],
    [JSON.stringify({ modelName: 'm', strategy: 'dice' }), 'strategy'],
  ] as const) {
    it(`is refused when it is ${text}, naming the place`, () => {
      assert.throws(
        () => readConfig(text),
        (error) => error instanceof ConfigError && error.message.includes(part),
      );
    });
  }
});

describe('two models', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'r2r-vocabulary-'));
  });
  after(() => rm(folder, { recursive: true }));
  const tokenizer = async (
    ...options: [name: string, ...rest: Parameters<typeof writeModelFolder> extends [string, ...infer R] ? R : never]
  ) => {
    const [name, ...rest] = options;
    return loadTokenizer(await writeModelFolder(join(folder, name), ...rest));
  };

  it('share a vocabulary when all tokens have the same ids, whatever they are padded to', async () => {
    checkSameVocabulary(await tokenizer('a'), await tokenizer('b', { vocabSize: 512 }));
  });

  it('do not when a token differs, and the message names it', async () => {
    const [a, b] = [await tokenizer('a'), await tokenizer('c', { rename: { '<think>': '<reason>' } })];
    assert.throws(
      () => checkSameVocabulary(a, b),
      (error) =>
        error instanceof VocabularyError &&
        error.message.includes(`"<think>" (SLM ${vocabulary.openThink}, LLM absent)`) &&
        error.message.includes(`"<reason>" (SLM absent, LLM ${vocabulary.openThink})`),
    );
  });

  it('do not when a token is special to one only', async () => {
    const [a, b] = [await tokenizer('a'), await tokenizer('b')];
    assert.throws(
      () => checkSameVocabulary(a, { ...b, specialIds: [vocabulary.start] }),
      /"<\|im_end\|>" \(id \d+\) is special to the SLM only/,
    );
  });

  it('have their parameters counted from their files', async () => {
    const { vocabSize, maxPositions, parameters } = await readModelFacts('examples/models/slm');
    assert.deepEqual([vocabSize, maxPositions], [480, 2048]);
    assert.ok(parameters !== undefined && parameters > 50_000 && parameters < 1_000_000);
    assert.equal((await readModelFacts(join(folder, 'a'))).parameters, undefined);
    await assert.rejects(readModelFacts(folder), /config\.json cannot be read/);
  });
});
