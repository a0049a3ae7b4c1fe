import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchmarkAnswer } from '../../src/api/router-work.ts';
import { routerStatusSchema } from '../../src/api/router-status.ts';
import { complete, post } from './chat-client.ts';
import { readyStage, say, stage, until, type Line, type Stage, type StageOptions } from './stage.ts';

const letter = (character: string): number => character.charCodeAt(0);
const cat: Line[] = [{ id: letter('c'), unsure: true, llm: letter('b') }, { id: letter('a') }, { id: letter('t') }];

describe('a router whose LLM pool is scaled by the operator', function () {
  this.timeout(60_000);
  const open: Stage[] = [];
  const on = async (options: StageOptions): Promise<Stage> => {
    const made = await readyStage(options);
    open.push(made);
    return made;
  };
  afterEach(async () => {
    for (const made of open.splice(0)) await made.close();
  });

  const held = (made: Stage): number => made.router.status().work?.llm.waitingRequests ?? 0;

  for (const onLLMUnavailable of ['UseSLM', 'Wait', 'Fail'] as const) {
    it(`is ready at zero replicas and keeps a request until the first one is there, with onLLMUnavailable ${onLLMUnavailable}`, async () => {
      const made = await stage({ lines: cat, config: { onLLMUnavailable, llmTimeoutSeconds: 0.2, llmScaledToZero: true } });
      open.push(made);
      made.endpoints.set([]);
      await until(() => made.router.readiness().ready, 'it is ready without an LLM');
      const answer = complete(made.router.url);
      await until(() => held(made) === 1, 'the request is told to be waiting');
      // longer than the timeout, after which the policy would apply
      await sleep(600);
      assert.equal(held(made), 1);
      assert.match(await (await fetch(`${made.router.adminUrl}/metrics`)).text(), /^r2r_llm_held_requests 1$/m);
      made.endpoints.set([{ url: made.llms[0]!.url, podUID: 'pod-0', ready: true }]);
      const { choices, r2r } = await answer;
      assert.deepEqual([choices[0]?.message.content, r2r?.degraded], ['bat', false]);
      assert.equal(held(made), 0);
    });
  }

  it('says that somebody waits before the first divergent token, and answers without the LLM what needs none', async () => {
    const made = await stage({ lines: say('sure'), config: { llmScaledToZero: true } });
    open.push(made);
    made.endpoints.set([]);
    await until(() => made.router.readiness().ready, 'it is ready without an LLM');
    const { choices, r2r } = await complete(made.router.url);
    assert.deepEqual([choices[0]?.message.content, r2r?.degraded], ['sure', false]);
    await until(() => held(made) === 0, 'nobody waits any more');
  });

  it('applies the policy, after its full timeout, once the operator gives the first replica up', async () => {
    const made = await stage({ lines: cat, config: { llmTimeoutSeconds: 0.5, llmScaledToZero: true } });
    open.push(made);
    made.endpoints.set([]);
    await until(() => made.router.readiness().ready, 'it is ready without an LLM');
    const answer = complete(made.router.url);
    await until(() => held(made) === 1, 'it waits');
    const since = Date.now();
    made.configure({ llmScaledToZero: false });
    const { choices, r2r } = await answer;
    assert.deepEqual([choices[0]?.message.content, r2r?.degraded], ['cat', true]);
    assert.ok(Date.now() - since >= 400, 'not before the timeout');
  });

  it('forgets a waiting request whose client has left', async () => {
    const made = await stage({ lines: cat, config: { llmScaledToZero: true } });
    open.push(made);
    made.endpoints.set([]);
    await until(() => made.router.readiness().ready, 'it is ready without an LLM');
    const client = new AbortController();
    const answer = post(made.router.url, { model: 'pair', messages: [{ role: 'user', content: 'say it' }] }, { signal: client.signal });
    await until(() => held(made) === 1, 'it waits');
    client.abort();
    await assert.rejects(answer);
    await until(() => held(made) === 0, 'nobody waits any more');
  });

  it('starts nothing at a replica that drains, finishes what is there, and says so', async () => {
    const made = await on({ lines: [...cat, ...cat, ...cat], llms: 2, llm: { stepMs: 20 } });
    const calls = (index: number): number => made.llms[index]!.calls.length;
    await complete(made.router.url);
    const first = calls(0) > calls(1) ? 0 : 1;
    const answers = Array.from({ length: 4 }, () => complete(made.router.url));
    await until(() => made.llms[first]!.running > 0, 'a call is under way there');
    made.configure({ drainingPodUIDs: [`pod-${first}`] });
    const drained = () => made.router.status().llmEndpoints.find(({ podUID }) => podUID === `pod-${first}`);
    assert.equal(drained()?.draining, true);
    await until(() => drained()?.inFlight === 0, 'what was under way has ended');
    const before = calls(first);
    for (const answer of answers) assert.equal((await answer).choices[0]?.message.content, 'batbatbat');
    assert.equal((await complete(made.router.url)).choices[0]?.message.content, 'batbatbat');
    assert.equal(calls(first), before);
    made.configure({ drainingPodUIDs: [] });
    await complete(made.router.url);
    assert.ok(calls(first) > before, 'it takes calls again when it is wanted after all');
  });

  it('tells the work it gives to both models, as the schema has it', async () => {
    const made = await on({ lines: [...cat, ...cat] });
    const before = made.router.status();
    await complete(made.router.url);
    const { work, instance, llmEndpoints } = routerStatusSchema.parse(await (await fetch(`${made.router.adminUrl}/r2r/status`)).json());
    assert.equal(instance, before.instance);
    // the first divergent token comes with the prime
    assert.equal(work?.llm.calls, 1);
    assert.equal(
      work.llm.latencies.reduce((total, count) => total + count),
      1,
    );
    assert.ok(work.llm.primedTokens > 5);
    assert.ok(work.slm.draftedTokens >= 6);
    assert.equal(llmEndpoints[0]?.draining, false);
  });

  const benchmark = async (made: Stage, body: object): Promise<{ readonly status: number; readonly answer: BenchmarkAnswer }> => {
    const response = await fetch(`${made.router.adminUrl}/r2r/benchmark`, { method: 'POST', body: JSON.stringify(body) });
    return { status: response.status, answer: (await response.json()) as BenchmarkAnswer };
  };

  it('measures what one replica can do, and stops where calls take too long', async () => {
    const made = await on({ lines: cat, llm: { stepMs: 20 } });
    const { status, answer } = await benchmark(made, { seconds: 3, latencyTargetMs: 1000 });
    assert.equal(status, 200);
    // every caller gets some 50 a second of it
    assert.ok(answer.callsPerSecond && answer.callsPerSecond > 60, JSON.stringify(answer));
    assert.equal(made.router.status().work?.llm.calls, 0, 'nobody has asked for it');
    assert.equal((await benchmark(made, { seconds: 0 })).status, 400);
  });

  it('gives the measurement up when a client comes', async () => {
    const made = await on({ lines: cat, llm: { stepMs: 5 } });
    const measuring = benchmark(made, { seconds: 20, latencyTargetMs: 1000 });
    await until(() => made.llms[0]!.calls.length > 10, 'it has begun');
    const since = Date.now();
    assert.equal((await complete(made.router.url)).choices[0]?.message.content, 'bat');
    const { status, answer } = await measuring;
    assert.deepEqual([status, answer.callsPerSecond], [409, undefined]);
    assert.ok(Date.now() - since < 3_000);
  });
});
