import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { loadTokenizer } from '../../src/model/tokenizer-folder.ts';
import type { EmittedToken } from '../../src/router/token.ts';
import { SglangClient } from '../../src/sglang/index.ts';
import { complete, streamed, type Piece } from './chat-client.ts';
import { RealReference } from './real-reference.ts';
import { startTinyPair, tinyModels, type TinyPair } from './tiny-pair.ts';

interface Problem {
  readonly question: string;
  readonly answer: string;
}

const problems = readFileSync(tinyModels.problems, 'utf8')
  .trim()
  .split('\n')
  .slice(0, 6)
  .map((line) => JSON.parse(line) as Problem);
const threshold = 0.45;

describe('the router before two real models', function () {
  this.timeout(180_000);
  let pair: TinyPair;
  let references: (readonly EmittedToken[])[];
  before(async () => {
    pair = await startTinyPair();
    references = [];
    const real = new RealReference({ slmUrl: pair.slm.url, llmUrl: pair.llm.url });
    for (const { question } of problems) references.push(await real.answer({ question, maxTokens: 400, strategy: 'entropy', threshold }));
    await real.close();
  });
  after(() => pair.close());

  const tokensOf = async ({ question }: Problem): Promise<readonly Piece[]> => {
    const request = { model: 'tiny', messages: [{ role: 'user', content: question }], r2r: { tokens: true, threshold } };
    const answer = await complete(pair.router.url, request);
    return answer.r2r?.tokens ?? [];
  };
  const same = (given: readonly Piece[], expected: readonly EmittedToken[]): void =>
    assert.deepEqual(
      given.map(({ id, source }) => [id, source]),
      expected.map(({ id, source }) => [id, source]),
    );

  it('uses both models', () => {
    const sources = references.flat().map(({ source }) => source);
    assert.ok(sources.filter((source) => source === 'llm').length > 10);
    assert.ok(sources.filter((source) => source === 'slm').length > 10);
  });

  for (const maxDraftTokens of [1, 2, 3, 5, 8, 16]) {
    it(`answers as one-token-at-a-time routing does with blocks of up to ${maxDraftTokens}`, async () => {
      pair.configure({ maxDraftTokens });
      for (const [index, problem] of problems.entries()) same(await tokensOf(problem), references[index]!);
    });
  }

  it('answers the same with all conversations at once, streaming or not', async () => {
    pair.configure({ maxDraftTokens: 8 });
    const all = await Promise.all(
      problems.map(async (problem) => {
        const request = { model: 'tiny', messages: [{ role: 'user', content: problem.question }], r2r: { tokens: true, threshold } };
        const [whole, live] = await Promise.all([tokensOf(problem), streamed(pair.router.url, request)]);
        return [whole, live.tokens] as const;
      }),
    );
    for (const [index, [whole, live]] of all.entries()) {
      same(whole, references[index]!);
      same(live, references[index]!);
    }
  });

  it("gives the SLM's own text with strategy slm, and the LLM's own with strategy llm", async () => {
    const tokenizer = await loadTokenizer(tinyModels.slm);
    for (const [strategy, engine] of [
      ['slm', pair.slm],
      ['llm', pair.llm],
    ] as const) {
      const client = new SglangClient({ url: engine.url, vocabSize: 480 });
      const messages = [{ role: 'user', content: problems[0]!.question }];
      const prompt = tokenizer.encode(tokenizer.applyChatTemplate(messages));
      const { tokens } = await client.generate({ ids: prompt, maxNewTokens: 400, timeoutMs: 60_000 });
      const answer = await complete(pair.router.url, { model: 'tiny', messages, r2r: { strategy, tokens: true } });
      assert.deepEqual(
        answer.r2r?.tokens?.map(({ id }) => id),
        tokens.map(({ id }) => id),
      );
      assert.equal(answer.llm_ratio, strategy === 'llm' ? 1 : 0);
      await client.destroy();
    }
  });
});
