import assert from 'node:assert/strict';
import type { Sampling } from '../../src/router/sampler.ts';
import { complete, type Piece } from '../router/chat-client.ts';
import { greedy, problems, requestOf, sampled, startLiveRouter, type LiveRouter } from './live-router.ts';
import { margins, Tally } from './teacher.ts';

const maxTokens = 64;
const blockLengths = [1, 3, 8];

describe('routing on a real SGLang SLM and LLM gives what one token at a time gives, but within the margins of bfloat16', function () {
  this.timeout(5 * 60_000);
  const all = new Tally();
  let live: LiveRouter;

  before(async function () {
    this.timeout(30 * 60_000);
    live = await startLiveRouter();
  });
  after(async () => {
    await live[Symbol.asyncDispose]();
    console.log(
      `      in all ${String(all)} (${margins.logprob} in a log-probability, ${margins.entropy} nats, ${margins.probability} in a probability)`,
    );
  });

  /** Asks all questions at once and judges the answers. */
  async function routed(questions: readonly string[], strategy: 'neural' | 'entropy', sampling: Sampling, tally: Tally): Promise<void> {
    const answers = await Promise.all(
      questions.map((question) => complete(live.router.url, requestOf(question, strategy, sampling, { max_tokens: maxTokens }))),
    );
    for (const [index, { r2r, choices }] of answers.entries()) {
      const tokens = r2r?.tokens ?? [];
      const ended = live.tokenizer.endIds.includes(tokens.at(-1)?.id ?? -1);
      assert.equal(choices[0]?.finish_reason, ended ? 'stop' : 'length');
      assert.ok(ended ? tokens.length <= maxTokens : tokens.length === maxTokens);
      const differences = await live.judge(strategy, sampling, questions[index]!, tokens);
      all.add(tokens, differences);
      assert.deepEqual(tally.add(tokens, differences), [], `${questions.length} at once`);
    }
  }

  for (const [strategyIndex, strategy] of (['neural', 'entropy'] as const).entries()) {
    for (const [how, sampling] of [
      ['greedily', greedy],
      ['sampling', sampled],
    ] as const) {
      for (const [lookaheadIndex, lookahead] of (['Off', 'Single', 'Nested'] as const).entries()) {
        it(`strategy ${strategy}, ${how}, look-ahead ${lookahead}, blocks of 1, 3 and 8, one and four conversations at once`, async () => {
          const tally = new Tally();
          for (const [blockIndex, maxDraftTokens] of blockLengths.entries()) {
            live.configure({ lookahead, maxDraftTokens, maxLookaheadCalls: 4 });
            // every pair of settings comes with both within the whole table, at half its cost
            const conversations = (strategyIndex + lookaheadIndex + blockIndex) % 2 === 0 ? 4 : 1;
            await routed(problems.slice(0, conversations), strategy, sampling, tally);
          }
          assert.ok(tally.byLlm > 0 && tally.byLlm < tally.tokens, 'both models supply tokens');
          console.log(`      ${String(tally)}`);
        });
      }
    }
  }

  it('sixteen conversations at once, in blocks of up to 32', async () => {
    const tally = new Tally();
    live.configure({ lookahead: 'Nested', maxDraftTokens: 32 });
    await routed(problems, 'neural', greedy, tally);
    console.log(`      ${String(tally)}`);
  });

  it('and what is not so is found: other tokens, other sources, other draws', async () => {
    const [question] = problems as [string];
    for (const sampling of [greedy, sampled]) {
      const { r2r } = await complete(live.router.url, requestOf(question, 'entropy', sampling, { max_tokens: maxTokens }));
      const tokens = r2r?.tokens ?? [];
      const unexplained = async (answer: readonly Piece[], how = sampling): Promise<number> =>
        (await live.judge('entropy', how, question, answer)).filter(({ shareOfMargin }) => shareOfMargin === undefined).length;
      const swapped = tokens.map((token) => ({ ...token, source: token.source === 'llm' ? 'slm' : 'llm' }));
      assert.ok((await unexplained(swapped)) > tokens.length / 2);
      assert.ok((await unexplained(tokens.toSpliced(5, 1))) > 0);
      if (sampling === sampled) assert.ok((await unexplained(tokens, { ...sampled, seed: sampled.seed + 1 })) > 0);
    }
  });
});
