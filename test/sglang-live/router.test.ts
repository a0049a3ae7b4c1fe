import assert from 'node:assert/strict';
import { EngineError } from '../../src/sglang/index.ts';
import { chunks, complete, post, streamed } from '../router/chat-client.ts';
import { until } from '../router/stage.ts';
import { problems, startLiveRouter, type LiveRouter } from './live-router.ts';

/** The last file of this folder: it ends by killing the servers that the others share. */
describe('the router before a real SGLang SLM and LLM', function () {
  this.timeout(5 * 60_000);
  let live: LiveRouter;

  before(async function () {
    this.timeout(30 * 60_000);
    live = await startLiveRouter();
  });
  after(() => live[Symbol.asyncDispose]());
  const url = (): string => live.router.url;
  const request = (question: string, more: object = {}) => ({ model: 'tiny', messages: [{ role: 'user', content: question }], ...more });

  it('streams, and routes everything to one side on request', async () => {
    const [question] = problems as [string];
    const stream = await streamed(url(), request(question, { r2r: { tokens: true } }));
    assert.match(stream.content, /answer is/);
    for (const strategy of ['slm', 'llm'] as const) {
      const answer = await complete(url(), request(question, { r2r: { strategy } }));
      assert.equal(answer.llm_ratio, strategy === 'llm' ? 1 : 0);
      assert.match(answer.choices[0]?.message.content ?? '', /answer is/);
    }
  });

  it('never sends what kills a server: token ids out of range, more log-probabilities than tokens', async () => {
    const { slm } = live;
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
    const context = (await live.slm.contextLength())!;
    assert.equal(context, 2042);
    const words = live.tokenizer.encode('Then add 1. ').length;
    const question = 'Then add 1. '.repeat(Math.floor((context - 60) / words));
    const answer = await complete(url(), request(question));
    assert.ok(answer.usage.total_tokens <= context);
  });

  it('answers with the SLM, and says so, once the LLM server is killed', async () => {
    live.configure({ onLLMUnavailable: 'UseSLM', llmTimeoutSeconds: 1 });
    live.servers.llm.kill();
    const answer = await complete(url(), request(problems[2]!));
    assert.deepEqual([answer.r2r?.degraded, answer.llm_ratio, answer.choices[0]?.finish_reason], [true, 0, 'stop']);
  });

  it('ends an answer with an error that says so when the SLM server is killed, and is not ready any more', async () => {
    let error: { readonly code: string; readonly message: string } | undefined;
    let tokens = 0;
    for await (const chunk of chunks(await post(url(), request(problems[4]!, { stream: true, r2r: { tokens: true } })))) {
      if (chunk === '[DONE]') continue;
      tokens += chunk.r2r?.tokens?.length ?? 0;
      if (tokens >= 4 && live.router.readiness().ready) live.servers.slm.kill();
      error ??= chunk.error;
    }
    assert.equal(error?.code, 'slm_unavailable');
    await until(() => !live.router.readiness().ready, 'the router is not ready');
    assert.match(live.router.readiness().waitingFor.join(), /SLM/);
    const refused = await post(url(), request(problems[4]!));
    assert.equal(refused.status, 503);
    assert.doesNotMatch(await refused.text(), /127\.0\.0\.1|ECONN/, 'no address reaches a client');
  });
});
