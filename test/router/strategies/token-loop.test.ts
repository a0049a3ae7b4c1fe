import assert from 'node:assert/strict';
import fc from 'fast-check';
import { strategies, type StrategyOptions } from '../../../src/api/strategies.ts';
import { entropy } from '../../../src/router/entropy.ts';
import { samplerOf } from '../../../src/router/sampler.ts';
import type { Scorer, Signals } from '../../../src/router/scoring/signals.ts';
import { strategyOf } from '../../../src/router/strategies/index.ts';
import { routedTokens } from '../../../src/router/token-loop.ts';
import type { EmittedToken } from '../../../src/router/token.ts';
import { bounded } from '../../scale.ts';
import { reference } from '../reference.ts';
import { continuation, mix, scriptedLlm, scriptedSlm, vocabSize } from '../scripted-models.ts';

const share = (bits: number): number => (bits % 1000) / 1000;

/** Signals of a token: a pure function of the distribution it was drafted from and of the token. */
function signalsOf(seed: number, top: Parameters<typeof entropy>[0], id: number): Signals {
  const row = mix(seed, [Math.round((top.logprobs[0] ?? 0) * -1e6), id]);
  const nats = entropy(top);
  return { entropy: nats, probability: share(row), aleatoric: 2.2 + 0.15 * share(row >>> 4), epistemic: 0.1 * share(row >>> 9) };
}

/** Around the middle of what {@link signalsOf} gives, so that strategies change sides often. */
const options: Partial<Record<(typeof strategies)[number], StrategyOptions>> = {
  immediate: { aleatoricThreshold: 2.25, epistemicThreshold: 0.03 },
  momentum: { slmToLLMThreshold: 0.4, llmToSLMThreshold: 0.5 },
  rolling: { entropyThreshold: 1 },
};

const late = async (bits: number): Promise<void> => {
  for (let turns = bits % 5; turns > 0; turns--) await new Promise(setImmediate);
};

const world = fc.record({
  seed: fc.nat(),
  maxTokens: fc.integer({ min: 1, max: 60 }),
  maxDraftTokens: fc.integer({ min: 1, max: 16 }),
  lookahead: fc.constantFrom('Off' as const, 'Single' as const, 'Nested' as const),
  maxLookaheadCalls: fc.integer({ min: 1, max: 8 }),
  agreement: fc.constantFrom(0, 0.5, 0.9, 1),
  temperature: fc.constantFrom(0, 0, 1),
  threshold: fc.constantFrom(0.3, 0.5, 0.8),
});

describe('the token loop', () => {
  for (const name of strategies) {
    it(`emits with strategy ${name} what one token at a time would give, whatever block length and look-ahead`, async () => {
      const sides = { slm: 0, llm: 0 };
      await fc.assert(
        fc.asyncProperty(world, async (given) => {
          const { seed } = given;
          const slm = scriptedSlm(seed);
          const llm = scriptedLlm(slm, seed, given);
          const sampler = samplerOf({ temperature: given.temperature, topP: 1, topK: 0, seed, choice: 0 }, vocabSize);
          const strategy = strategyOf(name, name === 'entropy' ? 4 * given.threshold : given.threshold, options[name] ?? {});
          const endIds = [3];
          const scorer: Scorer = {
            topLogprobs: 100,
            hiddenStates: false,
            async score(rows) {
              await late(mix(seed, [rows.length]));
              return rows.map(({ id, top }) => signalsOf(seed, top ?? assert.fail('no distribution'), id));
            },
          };
          const common = { ...given, prompt: [1, 2], endIds: new Set(endIds), strategy, sampler };
          const tokens: EmittedToken[] = [];
          const loop = routedTokens({
            ...common,
            slm: {
              overheadSteps: 0.5,
              busy: false,
              async draft({ ids }, length) {
                await late(mix(seed, ids));
                return continuation(slm, ids, length, endIds);
              },
            },
            llm: {
              async continue({ ids }, { maxTokens }) {
                await late(mix(seed + 1, ids));
                return continuation(llm, ids, maxTokens, endIds);
              },
            },
            scorer,
            keepTop: false,
            observer: { block: () => undefined, llmCall: () => undefined },
            signal: AbortSignal.timeout(10_000),
          });
          for await (const step of loop) tokens.push(...step);
          const expected = await reference({
            ...common,
            slm,
            llm,
            validIds: vocabSize,
            signals: (prefix, id) => signalsOf(seed, slm.next(prefix).top, id),
            outage: new Set(),
          });
          assert.deepEqual(
            tokens.map(({ id, source }) => ({ id, source })),
            expected.tokens,
          );
          for (const { source } of tokens) if (source !== 'fallback') sides[source]++;
        }),
        bounded(150, 5_000),
      );
      if (name !== 'llm') assert.ok(sides.slm > 50, JSON.stringify(sides));
      if (name !== 'slm') assert.ok(sides.llm > 50, JSON.stringify(sides));
    });
  }
});
