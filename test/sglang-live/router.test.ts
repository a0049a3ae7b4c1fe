import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { loadTokenizer } from '../../src/model/tokenizer-folder.ts';
import type { Tokenizer } from '../../src/model/tokenizer.ts';
import { EngineError, SglangClient } from '../../src/sglang/index.ts';
import { launchSGLang, type SGLangServer } from '../../tools/sglang/server.ts';
import { complete, post, streamed } from '../router/chat-client.ts';
import { until } from '../router/stage.ts';
import { startTinyRouter, tinyModels, type TinyRouter } from '../router/tiny-pair.ts';
import { differences, margins } from './teacher.ts';

const problems = readFileSync(tinyModels.problems, 'utf8')
  .trim()
  .split('\n')
  .slice(0, 16)
  .map((line) => JSON.parse(line) as { readonly question: string });
const threshold = 0.45;

describe('the router before a real SGLang SLM and LLM', function () {
  this.timeout(10 * 60_000);
  let servers: readonly SGLangServer[] = [];
  let tiny: TinyRouter | undefined;
  let slm: SglangClient;
  let llm: SglangClient;
  let tokenizer: Tokenizer;

  before(async function () {
    this.timeout(30 * 60_000);
    const slmServer = await launchSGLang({ modelPath: tinyModels.slm, servedModelName: 'tiny-slm' });
    servers = [slmServer];
    const llmServer = await launchSGLang({ modelPath: tinyModels.llm, servedModelName: 'tiny-llm' });
    servers = [slmServer, llmServer];
    tokenizer = await loadTokenizer(tinyModels.slm);
    [slm, llm] = [slmServer, llmServer].map(({ url }) => new SglangClient({ url, vocabSize: 480 })) as [SglangClient, SglangClient];
    tiny = await startTinyRouter(slmServer.url, llmServer.url);
  });
  after(async () => {
    await tiny?.router.stop();
    for (const server of servers) await server.stop();
  });
  const url = (): string => tiny!.router.url;
  const request = (question: string, more: object = {}) => ({ model: 'tiny', messages: [{ role: 'user', content: question }], ...more });

  for (const [how, maxDraftTokens, concurrent] of [
    ['one conversation at a time', 8, false],
    ['sixteen conversations at once', 8, true],
    ['long blocks', 32, true],
  ] as const) {
    it(`gives what one-token-at-a-time routing on the same servers gives, but within the margins of bfloat16: ${how}`, async () => {
      tiny!.configure({ maxDraftTokens });
      const ask = async ({ question }: (typeof problems)[number]) =>
        complete(url(), request(question, { r2r: { tokens: true, threshold } }));
      const asked = concurrent ? problems : problems.slice(0, 4);
      const answers: Awaited<ReturnType<typeof ask>>[] = [];
      if (concurrent) answers.push(...(await Promise.all(asked.map(ask))));
      else for (const problem of asked) answers.push(await ask(problem));
      let tokens = 0;
      let explained = 0;
      for (const [index, answer] of answers.entries()) {
        const prompt = tokenizer.encode(tokenizer.applyChatTemplate([{ role: 'user', content: asked[index]!.question }]));
        const pieces = answer.r2r?.tokens ?? [];
        assert.ok(pieces.length > 10 && answer.choices[0]?.finish_reason === 'stop');
        assert.ok(answer.llm_ratio! > 0 && answer.llm_ratio! < 1);
        const found = await differences({ slm, llm }, prompt, pieces, threshold);
        assert.deepEqual(
          found.filter(({ explainedBy }) => explainedBy === undefined),
          [],
        );
        tokens += pieces.length;
        explained += found.length;
      }
      console.log(
        `      ${tokens} tokens, ${explained} differ within ${margins.logprob} (log-probability) or ${margins.entropyNats} nats (entropy)`,
      );
    });
  }

  it('streams, and routes everything to one side on request', async () => {
    const { question } = problems[0]!;
    const live = await streamed(url(), request(question, { r2r: { tokens: true } }));
    assert.match(live.content, /answer is/);
    for (const strategy of ['slm', 'llm'] as const) {
      const answer = await complete(url(), request(question, { r2r: { strategy } }));
      assert.equal(answer.llm_ratio, strategy === 'llm' ? 1 : 0);
      assert.match(answer.choices[0]?.message.content ?? '', /answer is/);
    }
  });

  it('never sends what kills a server: token ids out of range, more log-probabilities than tokens', async () => {
    const call = { maxNewTokens: 1, timeoutMs: 60_000 };
    for (const ids of [[480], [1_000_000], [-5], [1.5]]) {
      await assert.rejects(slm.generate({ ...call, ids }), (error) => error instanceof EngineError && error.code === 'invalid_token');
    }
    const { tokens } = await slm.generate({ ...call, ids: [1, 2, 3], topLogprobs: 100_000 });
    assert.equal(tokens[0]?.top?.ids.length, 480);
    assert.equal(await slm.ready(), true);
  });

  it('refuses a prompt past the context itself, and fills the context to its end', async () => {
    const long = await post(url(), request('add 1. '.repeat(2000)));
    assert.equal(long.status, 400);
    const context = (await slm.contextLength())!;
    assert.equal(context, 2042);
    const words = tokenizer.encode('Then add 1. ').length;
    const question = 'Then add 1. '.repeat(Math.floor((context - 60) / words));
    const answer = await complete(url(), request(question));
    assert.ok(answer.usage.total_tokens <= context);
  });

  it('leaves nothing running on the servers when a client leaves', async () => {
    const client = new AbortController();
    const response = await post(url(), request(problems[1]!.question, { stream: true }), { signal: client.signal });
    await response.body!.getReader().read();
    client.abort();
    await until(() => tiny!.router.status().inFlight === 0, 'no request is in flight');
    await until(async () => (await slm.load()).runningRequests === 0 && (await llm.load()).runningRequests === 0, 'nothing runs', 60_000);
    const long = new AbortController();
    const pending = llm.generate({ ids: [1, 2, 3], maxNewTokens: 1900, timeoutMs: 60_000 }, long.signal);
    await until(async () => ((await llm.load()).runningRequests ?? 0) > 0, 'a long call runs', 60_000);
    long.abort(new Error('left'));
    await assert.rejects(pending, /left/);
    await until(() => llm.inFlight === 0, 'its answer ended');
  });

  it('answers with the SLM, and says so, once the LLM server is killed', async () => {
    tiny!.configure({ onLLMUnavailable: 'UseSLM', llmTimeoutSeconds: 1 });
    await servers[1]!.stop();
    const answer = await complete(url(), request(problems[2]!.question));
    assert.deepEqual([answer.r2r?.degraded, answer.llm_ratio, answer.choices[0]?.finish_reason], [true, 0, 'stop']);
  });
});
