import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Conversation } from '../../src/router/conversation.ts';
import { LlmPool } from '../../src/router/llm-pool.ts';
import { Slm } from '../../src/router/slm.ts';
import { entropyScorer, slmStrategy, thresholdStrategy, type Strategy } from '../../src/router/strategy.ts';
import { llmTokens, routedTokens, type LoopInput } from '../../src/router/token-loop.ts';
import type { EmittedToken, LoopEnd } from '../../src/router/token.ts';
import { bounded, scale } from '../scale.ts';
import { reference } from './reference.ts';
import { ScriptedEngine } from './scripted-engine.ts';
import { scriptedLlm, scriptedSlm, vocabSize } from './scripted-models.ts';

const quiet = { block: () => undefined, llmCall: () => undefined };

/** A strategy with memory, as upstream's momentum is: decides on a moving average of entropies that a divergence resets. */
const momentum: Strategy<number> = {
  initial: 0,
  decide(state, { score }) {
    const average = 0.6 * state + score;
    return average > 2 ? { state: 0, divergent: true } : { state: average, divergent: false };
  },
};

const world = fc.record({
  seed: fc.integer(),
  prompts: fc.array(fc.array(fc.integer({ min: 0, max: vocabSize - 1 }), { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 4 }),
  maxTokens: fc.integer({ min: 1, max: 40 }),
  maxDraftTokens: fc.integer({ min: 1, max: 16 }),
  strategy: fc.constantFrom('entropy', 'momentum', 'slm', 'llm'),
  threshold: fc.constantFrom(0, 0.5, 1, 1.6, 2.2, 3, 9),
  agreement: fc.constantFrom(0, 0.3, 0.9, 1),
  unknownShare: fc.constantFrom(0, 0, 0.2),
  endIds: fc.constantFrom<readonly number[]>([], [3], [3, 7], [200]),
  replicas: fc.integer({ min: 1, max: 3 }),
  primed: fc.boolean(),
  failures: fc.constantFrom(0, 0, 0.1, 0.4),
});
type World = typeof world extends fc.Arbitrary<infer T> ? T : never;

interface Run {
  readonly tokens: EmittedToken[];
  end?: LoopEnd;
}

/** Runs every prompt of a world at once on one set of engines. */
function start(given: World, options: { readonly llmTimeoutMs: number; readonly outage?: (length: number) => boolean }) {
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
    observer: quiet,
    backoff: { firstMs: 0, longestMs: 1 },
  });
  pool.update(
    Array.from({ length: given.replicas }, (_, index) => ({ url: `scripted://llm-${index}`, ready: true })),
    [],
  );
  const strategy = given.strategy === 'slm' ? slmStrategy : thresholdStrategy(given.threshold);
  const tokensOf = (prompt: readonly number[], signal: AbortSignal): AsyncGenerator<readonly EmittedToken[], LoopEnd, void> => {
    const llm = new Conversation({
      pool,
      key: prompt.join(),
      endIds: given.endIds,
      onUnavailable: 'UseSLM',
      timeoutMs: options.llmTimeoutMs,
    });
    if (given.primed) llm.prime(prompt, signal);
    const input: LoopInput = {
      prompt,
      maxTokens: given.maxTokens,
      maxDraftTokens: given.maxDraftTokens,
      endIds: new Set(given.endIds),
      slm,
      llm,
      observer: quiet,
      signal,
    };
    if (given.strategy === 'llm') return llmTokens(input);
    return given.strategy === 'momentum' ? routedTokens(input, momentum, entropyScorer) : routedTokens(input, strategy, entropyScorer);
  };
  const expected = (prompt: readonly number[], outage: ReadonlySet<number>) => {
    const input = { ...given, prompt, slm: slmModel, llm: llmModel, endIds: new Set(given.endIds), outage };
    if (given.strategy === 'llm') return reference({ ...input, strategy: 'llm' });
    return given.strategy === 'momentum' ? reference({ ...input, strategy: momentum }) : reference({ ...input, strategy });
  };
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
    await fc.assert(
      fc.asyncProperty(world, async (given) => {
        const { pool, tokensOf, expected } = start(given, { llmTimeoutMs: 60_000 });
        const signal = new AbortController().signal;
        const runs = await Promise.all(given.prompts.map((prompt) => collect(tokensOf(prompt, signal), { tokens: [] })));
        for (const [index, prompt] of given.prompts.entries()) assert.deepEqual(runs[index], expected(prompt, new Set()));
        await pool.close();
      }),
      bounded(700, 40_000),
    );
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
          assert.deepEqual(runs[index], expected(prompt, new Set(positions)));
        }
        await pool.close();
      }),
      bounded(250, 25_000),
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
            assert.deepEqual(run.tokens, expected(prompt, new Set()).tokens.slice(0, run.tokens.length));
          }),
        );
        const deadline = Date.now() + 5_000;
        while (inFlight() > 0 && Date.now() < deadline) await new Promise(setImmediate);
        assert.equal(inFlight(), 0);
        await pool.close();
      }),
      bounded(300, 20_000),
    );
    assert.ok(cancelled > 100, `${cancelled} runs were cut short`);
  });
});
