import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Conversation } from '../../src/router/conversation.ts';
import { entropy } from '../../src/router/entropy.ts';
import { LlmPool } from '../../src/router/llm-pool.ts';
import type { LoopObserver } from '../../src/router/observer.ts';
import { samplerOf } from '../../src/router/sampler.ts';
import { noSignals, type Scorer, type Signals } from '../../src/router/scoring/signals.ts';
import { Slm } from '../../src/router/slm.ts';
import type { Strategy } from '../../src/router/strategy.ts';
import { routedTokens } from '../../src/router/token-loop.ts';
import type { EmittedToken, LoopEnd } from '../../src/router/token.ts';
import { bounded, scale } from '../scale.ts';
import { reference } from './reference.ts';
import { ScriptedEngine } from './scripted-engine.ts';
import { mix, scriptedLlm, scriptedSlm, vocabSize, type ScriptedModel } from './scripted-models.ts';

/** Counts the questions put to the LLM, and how many were open ahead of an earlier answer. */
class Questions implements LoopObserver {
  ahead = { used: 0, wasted: 0 };
  block(): void {}
  llmCall(): void {}
  consultation(ahead: boolean, used: boolean): void {
    if (ahead) this.ahead[used ? 'used' : 'wasted']++;
  }
}

const threshold = (limit: number): Strategy => ({
  signals: ['entropy'],
  initial: undefined,
  decide: (state, row) => ({ state, divergent: !(row.signals.entropy < limit) }),
});

/** A strategy with memory, as upstream's momentum is: decides on a moving average of entropies that a divergence resets. */
const momentum: Strategy<number> = {
  signals: ['entropy'],
  initial: 0,
  decide(state, { signals }) {
    const average = 0.6 * state + signals.entropy;
    return average > 2 ? { state: 0, divergent: true } : { state: average, divergent: false };
  },
};

/** One that looks at the token and its position, and at a probability scripted by the prefix. */
const neural: Strategy<number> = {
  signals: ['probability'],
  initial: 0,
  decide: (state, { id, position, signals }) => ({
    state: (state * 31 + id + position) % 1009,
    divergent: signals.probability + (state % 7) / 20 >= 0.8,
  }),
};

const never: Strategy = { signals: [], initial: undefined, decide: (state) => ({ state, divergent: false }) };

const world = fc.record({
  seed: fc.integer(),
  prompts: fc.array(fc.array(fc.integer({ min: 0, max: vocabSize - 1 }), { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 }),
  maxTokens: fc.integer({ min: 1, max: 40 }),
  maxDraftTokens: fc.integer({ min: 1, max: 16 }),
  strategy: fc.constantFrom('entropy', 'entropy', 'momentum', 'neural', 'slm', 'llm'),
  threshold: fc.constantFrom(0, 0.5, 1, 1.6, 2.2, 3, 9),
  agreement: fc.constantFrom(0, 0.3, 0.9, 1),
  unknownShare: fc.constantFrom(0, 0, 0.2),
  endIds: fc.constantFrom<readonly number[]>([], [3], [3, 7], [200]),
  replicas: fc.integer({ min: 1, max: 3 }),
  primed: fc.boolean(),
  failures: fc.constantFrom(0, 0, 0.1, 0.4),
  lookahead: fc.constantFrom('Off', 'Single', 'Nested', 'Nested'),
  maxLookaheadCalls: fc.integer({ min: 1, max: 8 }),
  temperature: fc.constantFrom(0, 0, 0.3, 1, 1.7),
  topP: fc.constantFrom(1, 0.95, 0.4),
  topK: fc.constantFrom(0, 1, 5),
  choice: fc.integer({ min: 0, max: 3 }),
});
type World = typeof world extends fc.Arbitrary<infer T> ? T : never;

interface Run {
  readonly tokens: EmittedToken[];
  end?: LoopEnd;
}

function strategyOf(given: World): Strategy | 'llm' {
  switch (given.strategy) {
    case 'llm':
      return 'llm';
    case 'slm':
      return never;
    case 'entropy':
      return threshold(given.threshold);
    case 'momentum':
      return momentum;
    case 'neural':
      return neural;
  }
}

/** What a network would say: a pure function of the distribution and the token to be routed. */
function signalsOf(seed: number, { top }: Pick<ReturnType<ScriptedModel['next']>, 'top'>, id: number): Signals {
  const row = mix(seed, [Math.round((top.logprobs[0] ?? 0) * -1e6), top.ids[0] ?? 0, id]);
  return { ...noSignals, entropy: entropy(top), probability: (row % 1000) / 1000 };
}

/** Scores late, and not in the order it was asked. */
class ScriptedScorer implements Scorer {
  readonly topLogprobs: number;
  readonly hiddenStates = false;
  readonly #seed: number;
  #calls = 0;

  constructor(seed: number, strategy: Strategy | 'llm') {
    this.#seed = seed;
    this.topLogprobs = strategy !== 'llm' && strategy.signals.length > 0 ? 100 : 0;
  }

  async score(rows: Parameters<Scorer['score']>[0]): Promise<readonly Signals[]> {
    for (let turns = mix(this.#seed, [this.#calls++]) % 6; turns > 0; turns--) await new Promise(setImmediate);
    return rows.map(({ id, top }) => (top ? signalsOf(this.#seed, { top }, id) : noSignals));
  }
}

/** Runs every prompt of a world at once on one set of engines. */
function start(
  given: World,
  options: { readonly llmTimeoutMs: number; readonly outage?: (length: number) => boolean },
  observer = new Questions(),
) {
  const slmModel = scriptedSlm(given.seed);
  const llmModel = scriptedLlm(slmModel, given.seed, given);
  const slmEngine = new ScriptedEngine({ model: slmModel, seed: given.seed, failures: given.failures });
  const slm = new Slm({ engine: slmEngine, validIds: vocabSize, endIds: given.endIds, retryDelaysMs: Array<number>(60).fill(0) });
  const engines: ScriptedEngine[] = [];
  const pool = new LlmPool({
    connect: ({ url }) => {
      const engine = new ScriptedEngine({ url, model: llmModel, seed: given.seed ^ engines.length, ...options, failures: given.failures });
      engines.push(engine);
      return engine;
    },
    validIds: vocabSize,
    observer,
    backoff: { firstMs: 0, longestMs: 1 },
  });
  pool.update(
    Array.from({ length: given.replicas }, (_, index) => ({ url: `scripted://llm-${index}`, ready: true })),
    [],
  );
  const strategy = strategyOf(given);
  const sampler = samplerOf({ ...given, seed: given.seed >>> 0 }, vocabSize);
  const tokensOf = (prompt: readonly number[], signal: AbortSignal): AsyncGenerator<readonly EmittedToken[], LoopEnd, void> => {
    const llm = new Conversation({
      pool,
      key: prompt.join(),
      endIds: given.endIds,
      onUnavailable: 'UseSLM',
      timeoutMs: options.llmTimeoutMs,
    });
    if (given.primed) llm.prime(prompt, sampler.topLogprobs, signal);
    return routedTokens({
      ...given,
      prompt,
      endIds: new Set(given.endIds),
      slm,
      llm,
      strategy,
      scorer: new ScriptedScorer(given.seed, strategy),
      sampler,
      keepTop: false,
      observer,
      signal,
    });
  };
  const expected = (prompt: readonly number[], outage: ReadonlySet<number>) =>
    reference({
      ...given,
      prompt,
      slm: slmModel,
      llm: llmModel,
      validIds: vocabSize,
      strategy,
      sampler,
      signals: (prefix, id) => signalsOf(given.seed, slmModel.next(prefix), id),
      endIds: new Set(given.endIds),
      outage,
    });
  const inFlight = (): number => slmEngine.inFlight + engines.reduce((sum, engine) => sum + engine.inFlight, 0);
  return { pool, tokensOf, expected, inFlight };
}

async function collect(
  tokens: AsyncGenerator<readonly EmittedToken[], LoopEnd, void>,
  into: Run,
  onToken = (): void => undefined,
): Promise<Run> {
  for (;;) {
    const step = await tokens.next();
    if (step.done) {
      into.end = step.value;
      return into;
    }
    assert.ok(step.value.length > 0, 'no empty step is emitted');
    into.tokens.push(...step.value);
    onToken();
  }
}

describe('exactness of the token loop', function () {
  this.timeout(120_000 * scale);

  it('emits the tokens and sources of one-token-at-a-time routing, whatever the block length, concurrency and passing failures', async () => {
    const questions = new Questions();
    await fc.assert(
      fc.asyncProperty(world, async (given) => {
        const { pool, tokensOf, expected } = start(given, { llmTimeoutMs: 60_000 }, questions);
        const signal = new AbortController().signal;
        const runs = await Promise.all(given.prompts.map((prompt) => collect(tokensOf(prompt, signal), { tokens: [] })));
        for (const [index, prompt] of given.prompts.entries()) assert.deepEqual(runs[index], await expected(prompt, new Set()));
        await pool.close();
      }),
      bounded(2_000, 40_000),
    );
    assert.ok(questions.ahead.used > 100 && questions.ahead.wasted > 100, `look-ahead took place: ${JSON.stringify(questions.ahead)}`);
  });

  it('equals a reference fed the same outages when LLM replicas stay away for longer than the timeout', async () => {
    const outages = fc.record({ from: fc.integer({ min: 0, max: 30 }), length: fc.integer({ min: 1, max: 30 }) });
    let fallbacks = 0;
    await fc.assert(
      fc.asyncProperty(world, outages, async (given, out) => {
        const outage = (length: number): boolean => length >= out.from && length < out.from + out.length;
        const { pool, tokensOf, expected } = start(given, { llmTimeoutMs: 3, outage });
        const signal = new AbortController().signal;
        const runs = await Promise.all(given.prompts.map((prompt) => collect(tokensOf(prompt, signal), { tokens: [] })));
        for (const [index, prompt] of given.prompts.entries()) {
          const positions = runs[index]!.tokens.flatMap(({ source }, position) => (source === 'fallback' ? [position] : []));
          fallbacks += positions.length;
          assert.deepEqual(runs[index], await expected(prompt, new Set(positions)));
        }
        await pool.close();
      }),
      bounded(600, 25_000),
    );
    assert.ok(fallbacks > 0, 'the outages were felt');
  });

  it('stops at once when the client leaves, after a prefix of the right answer and with nothing left in flight', async () => {
    let cancelled = 0;
    await fc.assert(
      fc.asyncProperty(world, fc.integer({ min: 0, max: 20 }), async (given, leaveAfter) => {
        const { pool, tokensOf, expected, inFlight } = start(given, { llmTimeoutMs: 60_000 });
        await Promise.all(
          given.prompts.map(async (prompt) => {
            const client = new AbortController();
            const run: Run = { tokens: [] };
            const leave = (): void => {
              if (run.tokens.length >= leaveAfter) client.abort(new Error('left'));
            };
            leave();
            try {
              await collect(tokensOf(prompt, client.signal), run, leave);
            } catch (error) {
              assert.equal(error, client.signal.reason);
              cancelled++;
            }
            assert.deepEqual(run.tokens, (await expected(prompt, new Set())).tokens.slice(0, run.tokens.length));
          }),
        );
        const deadline = Date.now() + 5_000;
        while (inFlight() > 0 && Date.now() < deadline) await new Promise(setImmediate);
        assert.equal(inFlight(), 0);
        await pool.close();
      }),
      bounded(600, 20_000),
    );
    assert.ok(cancelled > 100, `${cancelled} runs were cut short`);
  });
});
