import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LlmEndpoint } from '../../src/router/index.ts';
import { chunks, complete, post, type Chunk, type Piece } from '../router/chat-client.ts';
import { Settable, until } from '../router/stage.ts';
import { greedy, problems, requestOf, sampled, startLiveRouter, type LiveRouter } from './live-router.ts';
import { NetworkLink } from './network-link.ts';
import { liveServers } from './servers.ts';
import { Tally } from './teacher.ts';

describe('faults between a router and a real SGLang SLM and LLM', function () {
  this.timeout(5 * 60_000);
  let live: LiveRouter;
  let slmLink: NetworkLink;
  let llmLinks: readonly NetworkLink[];
  const endpoints = new Settable<readonly LlmEndpoint[]>();

  before(async function () {
    this.timeout(30 * 60_000);
    const { slm, llm } = await liveServers();
    slmLink = await NetworkLink.to(slm.url);
    // two replicas as far as the router can see
    llmLinks = await Promise.all([NetworkLink.to(llm.url), NetworkLink.to(llm.url)]);
    useReplicas(1);
    live = await startLiveRouter(() => ({ slmUrl: slmLink.url, endpoints }));
    live.configure({ lookahead: 'Nested', maxDraftTokens: 4 });
  });
  after(async () => {
    undisturb();
    await live[Symbol.asyncDispose]();
    for (const link of [slmLink, ...llmLinks]) await link[Symbol.asyncDispose]();
  });

  const useReplicas = (count: number): void =>
    endpoints.set(llmLinks.slice(0, count).map(({ url }, index) => ({ url, podUID: `pod-${index}`, ready: true })));
  const undisturb = (): void => {
    for (const server of [live.servers.slm, live.servers.llm]) server.thaw();
    for (const link of [slmLink, ...llmLinks]) link.open();
  };
  const running = async (): Promise<number> => {
    const loads = await Promise.all([live.slm.load(), live.llm.load()]);
    return loads.reduce((sum, { runningRequests, queuedRequests }) => sum + (runningRequests ?? 0) + (queuedRequests ?? 0), 0);
  };

  /** Streams an answer, has something happen once it has begun, and reads it to its end. */
  async function disturbed(
    question: string,
    disturbance: () => Promise<void>,
    strategy: 'neural' | 'entropy' = 'entropy',
    sampling = greedy,
  ) {
    const tokens: Piece[] = [];
    let disturbing: Promise<void> | undefined;
    let last: Chunk | undefined;
    for await (const chunk of chunks(await post(live.router.url, requestOf(question, strategy, sampling, { stream: true })))) {
      if (chunk === '[DONE]') continue;
      assert.equal(chunk.error, undefined);
      tokens.push(...(chunk.r2r?.tokens ?? []));
      if (tokens.length >= 8) disturbing ??= disturbance();
      last = chunk;
    }
    assert.ok(disturbing, 'the answer was long enough');
    await disturbing;
    undisturb();
    const tally = new Tally();
    assert.deepEqual(tally.add(tokens, await live.judge(strategy, sampling, question, tokens)), []);
    assert.equal(tokens.at(-1)?.id, live.tokenizer.endIds[0], 'the answer is whole');
    console.log(`      ${String(tally)}`);
    return { tokens, degraded: last?.r2r?.degraded ?? false };
  }

  for (const [what, disturb, restore] of [
    ["the SLM's connections break and none is taken for a second", () => slmLink.cut(), () => slmLink.open()],
    ['the SLM stands still for two seconds', () => live.servers.slm.freeze(), () => live.servers.slm.thaw()],
    ["the LLM's connections break and none is taken for a second", () => llmLinks[0]!.cut(), () => llmLinks[0]!.open()],
    ['the LLM stands still for two seconds', () => live.servers.llm.freeze(), () => live.servers.llm.thaw()],
  ] as const) {
    it(`while ${what}, an answer waits, and is the same as ever`, async () => {
      for (const [index, [strategy, sampling]] of (
        [
          ['entropy', greedy],
          ['neural', sampled],
        ] as const
      ).entries()) {
        const { degraded } = await disturbed(
          problems[index]!,
          async () => {
            disturb();
            await sleep(what.includes('second,') ? 1000 : 2000);
            restore();
          },
          strategy,
          sampling,
        );
        assert.equal(degraded, false);
      }
    });
  }

  it('a hanging LLM is replaced by the SLM, token by token and told so, until it answers again', async () => {
    live.configure({ onLLMUnavailable: 'UseSLM', llmTimeoutSeconds: 1 });
    const { llm } = live.servers;
    const { tokens, degraded } = await disturbed(problems[3]!, () => {
      llm.freeze();
      return Promise.resolve();
    });
    assert.equal(degraded, true);
    assert.ok(tokens.some(({ source }) => source === 'fallback'));
    await until(() => live.router.status().llmEndpoints[0]?.ready === true, 'it takes calls again', 60_000);
    live.configure({ onLLMUnavailable: 'Fail', llmTimeoutSeconds: 30 });
    const { r2r, llm_ratio: ratio } = await complete(live.router.url, requestOf(problems[3]!, 'entropy', greedy));
    assert.ok(!r2r?.degraded && ratio! > 0);
  });

  it('a hanging LLM replica loses its conversations to the other one, unnoticed by the client', async () => {
    live.configure({ onLLMUnavailable: 'Fail', llmTimeoutSeconds: 6 });
    useReplicas(2);
    await until(() => live.router.status().llmEndpoints.every(({ ready }) => ready), 'both replicas are ready', 60_000);
    const before = llmLinks.map(({ bytes }) => bytes);
    const grown = (link: NetworkLink): number => link.bytes - before[llmLinks.indexOf(link)]!;
    let stalled: NetworkLink | undefined;
    const { tokens, degraded } = await disturbed(problems[1]!, () => {
      // the one that this conversation is on
      stalled = llmLinks.toSorted((a, b) => grown(b) - grown(a))[0];
      stalled?.stall();
      return Promise.resolve();
    });
    assert.ok(stalled && grown(stalled) > 0);
    assert.equal(degraded, false);
    assert.ok(tokens.slice(8).some(({ source }) => source === 'llm'));
    useReplicas(1);
    live.configure({ llmTimeoutSeconds: 30 });
  });

  it('clients that leave, whatever was asked ahead for them, leave nothing running on the servers', async () => {
    const leave = new AbortController();
    const responses = await Promise.all(
      problems
        .slice(0, 8)
        .map((question) => post(live.router.url, requestOf(question, 'entropy', greedy, { stream: true, n: 2 }), { signal: leave.signal })),
    );
    await Promise.all(responses.map(({ body }) => body!.getReader().read()));
    leave.abort();
    await until(() => live.router.status().inFlight === 0, 'no request is in flight');
    await until(async () => (await running()) === 0, 'nothing runs on the servers', 60_000);
  });

  it('an abort ends the requests whose ids begin with its own, and none of ours does', async () => {
    const call = { ids: [1, 2, 3], maxNewTokens: 200, timeoutMs: 60_000 };
    const raw = (rid: string) =>
      fetch(`${live.servers.llm.url}/generate`, {
        method: 'POST',
        body: JSON.stringify({
          rid,
          input_ids: call.ids,
          sampling_params: { max_new_tokens: call.maxNewTokens, temperature: 0, ignore_eos: true },
        }),
        headers: { 'content-type': 'application/json' },
      }).then(async (response) => (await response.json()) as { readonly meta_info: { readonly finish_reason: { readonly type: string } } });
    const answers = Promise.all([raw('job-1'), raw('job-10'), raw('other')]);
    const leave = new AbortController();
    const [left, stays] = [live.llm.generate(call, leave.signal), live.llm.generate(call)];
    await until(async () => (await running()) >= 3, 'they run', 60_000);
    const rejected = assert.rejects(left, /left/);
    leave.abort(new Error('left'));
    await live.llm.abort('job-1');
    await rejected;
    const reasons = (await answers).map(({ meta_info: { finish_reason: finish } }) => finish.type);
    // the second was never meant: that is why our ids are random and of one length
    assert.deepEqual(reasons, ['abort', 'abort', 'length']);
    const { tokens, finish } = await stays;
    assert.ok(finish === 'stop' || tokens.length === call.maxNewTokens);
    await until(async () => (await running()) === 0, 'nothing runs', 60_000);
  });
});
