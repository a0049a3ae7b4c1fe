import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { configFile } from '../../src/router/index.ts';
import { ask, chunks, complete, post, streamed, type Chunk } from './chat-client.ts';
import { vocabulary } from './model-folder.ts';
import type { ScriptedServer } from './scripted-server.ts';
import { readyStage, say, stage, until, type Line, type Stage, type StageOptions } from './stage.ts';

const letter = (character: string): number => character.charCodeAt(0);
const cat: Line[] = [{ id: letter('c'), unsure: true, llm: letter('b') }, { id: letter('a') }, { id: letter('t') }];
const patient = { llmTimeoutSeconds: 30 };
const hasty = { llmTimeoutSeconds: 0.2 };

describe('a router whose engines come and go', function () {
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

  it('says on /ready what it waits for, answers 503 meanwhile, and serves once all is there', async () => {
    const made = await stage({ lines: cat, config: { onLLMUnavailable: 'Fail' } });
    open.push(made);
    made.slm.behaviour.ready = false;
    made.llms[0]!.behaviour.ready = false;
    made.endpoints.set([]);
    await until(() => made.router.readiness().waitingFor.length === 2, 'the SLM is seen starting');
    const ready = await fetch(`${made.router.url}/ready`);
    assert.deepEqual(
      [ready.status, ((await ready.json()) as { waitingFor: string[] }).waitingFor],
      [503, ['the SLM server', 'an LLM replica that takes calls']],
    );
    assert.equal((await fetch(`${made.router.url}/health`)).status, 200, 'alive all the while');
    assert.equal((await fetch(`${made.router.adminUrl}/ready`)).status, 503);

    made.slm.behaviour.ready = true;
    made.llms[0]!.behaviour.ready = true;
    made.endpoints.set([{ url: made.llms[0]!.url, ready: true }]);
    await until(async () => (await fetch(`${made.router.url}/ready`)).status === 200, 'it is ready');
    assert.equal((await complete(made.router.url)).choices[0]?.message.content, 'bat');
  });

  it('answers 503 in the shape of OpenAI before the SLM server was ever up', async () => {
    const made = await stage({ lines: cat, router: { slmUrl: 'http://127.0.0.1:9' } });
    open.push(made);
    const response = await post(made.router.url, ask);
    assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '5']);
    assert.equal(((await response.json()) as Chunk).error?.code, 'not_ready');
    assert.equal((await fetch(`${made.router.url}/v1/models`)).status, 503);
  });

  it('asks another replica when one fails, hangs, is aborted or answers nonsense', async () => {
    const made = await on({ lines: cat, llms: 2, config: { ...patient, llmTimeoutSeconds: 2 } });
    const broken = {
      'dies mid-answer': (response) => response.writeHead(200, { 'content-length': '100' }).write('{"out', () => response.destroy()),
      'answers 500': (response) => response.writeHead(500).end('Internal Server Error'),
      'answers half a JSON': (response) => response.end('{"output_ids": ['),
      'answers for another': (response) =>
        response.end(JSON.stringify({ output_ids: [1], meta_info: { id: 'x', finish_reason: { type: 'stop' } } })),
      'is overloaded': (response) => response.writeHead(503).end(),
      'never answers': () => undefined,
    } satisfies Record<string, (response: import('node:http').ServerResponse) => unknown>;
    for (const [how, answer] of Object.entries(broken)) {
      for (const bad of made.llms) {
        for (const llm of made.llms)
          llm.behaviour.intercept = (_, response) => {
            if (llm === bad) answer(response);
            return llm === bad;
          };
        await until(() => made.router.status().llmEndpoints.every(({ ready }) => ready), 'both replicas take calls again');
        const { choices, r2r } = await complete(made.router.url, { prompt_cache_key: how });
        assert.deepEqual([choices[0]?.message.content, r2r?.degraded], ['bat', false], how);
      }
    }
  });

  const outages: Record<string, (llm: ScriptedServer) => Promise<void> | void> = {
    'is gone': (llm) => llm.stop(),
    'hangs while it says that it is ready': (llm) => {
      llm.behaviour.intercept = () => true;
    },
    'answers nonsense': (llm) => {
      llm.behaviour.intercept = (_, response) => {
        response.end('{}');
        return true;
      };
    },
  };
  for (const [how, breakIt] of Object.entries(outages)) {
    it(`falls back on the SLM after the timeout when the LLM ${how}, and nobody waits all over again`, async () => {
      const made = await on({ lines: [...cat, ...cat, ...cat, ...cat], config: { llmTimeoutSeconds: 1 } });
      await breakIt(made.llms[0]!);
      const started = Date.now();
      const answer = await complete(made.router.url, { r2r: { tokens: true } });
      const took = Date.now() - started;
      assert.equal(answer.choices[0]?.message.content, 'catcatcatcat');
      assert.deepEqual(answer.r2r?.token_counts, { slm: 9, llm: 0, fallback: 4 });
      assert.deepEqual([answer.r2r.degraded, answer.llm_ratio, answer.r2r.tokens?.[0]?.source], [true, 0, 'fallback']);
      assert.ok(took >= 900 && took < 3_500, `waited once for a second, not for each of four tokens: ${took} ms`);
      const live = await streamed(made.router.url);
      assert.deepEqual([live.content, live.last?.r2r?.degraded], ['catcatcatcat', true]);
      assert.equal(made.router.readiness().ready, true, 'it serves, as configured');
    });
  }

  it('becomes ready without an LLM after the timeout when it started in the outage, and the SLM steps in', async () => {
    let now = 0;
    const made = await stage({ lines: cat, llms: 0, config: { llmTimeoutSeconds: 0.5 }, router: { now: () => now } });
    open.push(made);
    await until(() => made.router.readiness().waitingFor.join() === 'an LLM replica that takes calls', 'only the LLM is missing');
    now = 499;
    assert.equal(made.router.readiness().ready, false);
    now = 500;
    assert.equal((await fetch(`${made.router.url}/ready`)).status, 200);
    const answer = await complete(made.router.url);
    assert.deepEqual([answer.choices[0]?.message.content, answer.r2r?.degraded], ['cat', true]);
  });

  it('comes back to the LLM by itself', async () => {
    const made = await on({ lines: cat, config: hasty });
    const llm = made.llms[0]!;
    const port = Number(new URL(llm.url).port);
    await llm.stop();
    assert.equal((await complete(made.router.url)).r2r?.degraded, true);
    await llm.start(port);
    await until(async () => (await complete(made.router.url)).llm_ratio === 0.25, 'the LLM supplies tokens again');
  });

  it('fails where told so: 503 before the first token, an error event and no [DONE] after it', async () => {
    const made = await on({ lines: [...say('hi '), ...cat], config: { ...hasty, onLLMUnavailable: 'Fail' } });
    made.llms[0]!.behaviour.intercept = (_, response) => {
      response.writeHead(500).end();
      return true;
    };
    const whole = await post(made.router.url, ask);
    assert.equal(whole.status, 503);
    assert.equal(((await whole.json()) as Chunk).error?.code, 'llm_unavailable');
    const events: unknown[] = [];
    for await (const event of chunks(await post(made.router.url, { ...ask, stream: true }))) events.push(event);
    assert.equal((events.at(-1) as Chunk).error?.code, 'llm_unavailable');
    assert.ok(!events.includes('[DONE]'));
    await until(() => made.router.status().inFlight === 0, 'nothing is in flight');
    assert.deepEqual(made.router.status().window.requests, { total: 2, failed: 2 });
  });

  it('waits where told so, until the LLM is back or the client leaves', async () => {
    const made = await on({ lines: cat, config: { ...hasty, onLLMUnavailable: 'Wait' } });
    const llm = made.llms[0]!;
    const port = Number(new URL(llm.url).port);
    await llm.stop();
    const client = new AbortController();
    const impatient = post(made.router.url, ask, { signal: client.signal });
    const waiting = complete(made.router.url);
    await until(() => made.router.status().inFlight === 2, 'both wait');
    await until(() => made.router.status().llmEndpoints.every(({ ready }) => !ready), 'the LLM is seen to be away');
    assert.deepEqual(made.router.readiness(), { ready: true, waitingFor: [] }, 'others may come and wait, too');
    const late = complete(made.router.url);
    await until(() => made.router.status().inFlight === 3, 'and one does');
    const waitingCalls = async (): Promise<string | undefined> =>
      /^r2r_llm_waiting_calls (\d+)$/m.exec(await (await fetch(`${made.router.adminUrl}/metrics`)).text())?.[1];
    await until(async () => (await waitingCalls()) === '3', 'its metrics say that all three wait');
    client.abort();
    await assert.rejects(impatient);
    await until(() => made.router.status().inFlight === 2, 'the one that left is over');
    await llm.start(port);
    for (const { choices } of await Promise.all([waiting, late])) assert.equal(choices[0]?.message.content, 'bat');
    assert.equal(await waitingCalls(), '0');
  });

  it("takes an LLM's token that the SLM does not know for a failure, and never sends it on", async () => {
    const lines: Line[] = [{ id: letter('c'), unsure: true, llm: vocabulary.length + 3 }, ...say('at')];
    const made = await on({ lines, config: patient });
    const started = Date.now();
    const answer = await complete(made.router.url);
    assert.deepEqual([answer.choices[0]?.message.content, answer.r2r?.token_counts], ['cat', { slm: 3, llm: 0, fallback: 1 }]);
    assert.ok(Date.now() - started < 10_000, 'asking the same replica again would not help, so nobody waits');
    assert.equal(made.slm.died, undefined);
    const llmOnly = await complete(made.router.url, { r2r: { strategy: 'llm' } });
    assert.deepEqual([llmOnly.choices[0]?.message.content, llmOnly.r2r?.token_counts], ['cat', { slm: 0, llm: 3, fallback: 1 }]);
  });

  for (const onLLMUnavailable of ['Wait', 'Fail'] as const) {
    it(`answers 502 at once where told to ${onLLMUnavailable} and every LLM replica refuses the very request`, async () => {
      const made = await on({ lines: cat, llms: 2, config: { ...patient, onLLMUnavailable } });
      for (const llm of made.llms)
        llm.behaviour.intercept = (_, response) => {
          response.writeHead(400).end('{"error":{"message":"not this one"}}');
          return true;
        };
      for (const strategy of ['entropy', 'llm']) {
        const calls = made.llms.map((llm) => llm.calls.length);
        const response = await post(made.router.url, { ...ask, r2r: { strategy } });
        const { error } = (await response.json()) as Chunk;
        assert.deepEqual([response.status, error?.code], [502, 'engine_error'], strategy);
        assert.match(error?.message ?? '', /the LLM refused/);
        assert.ok(
          made.llms.every((llm, index) => llm.calls.length > calls[index]!),
          'each replica was asked',
        );
      }
      assert.ok(made.router.status().llmEndpoints.every(({ ready }) => ready));
    });
  }

  it('lets the SLM step in where told so when every LLM replica refuses the very request', async () => {
    const made = await on({ lines: cat, config: patient });
    made.llms[0]!.behaviour.intercept = (_, response) => {
      response.writeHead(400).end('{"error":{"message":"not this one"}}');
      return true;
    };
    const { choices, r2r } = await complete(made.router.url);
    assert.deepEqual([choices[0]?.message.content, r2r?.token_counts], ['cat', { slm: 3, llm: 0, fallback: 1 }]);
  });

  it('keeps an LLM replica that is slow to read a long prompt', async () => {
    const made = await on({ lines: cat, config: { llmTimeoutSeconds: 2 } });
    const llm = made.llms[0]!;
    llm.behaviour.intercept = () => llm.calls.length === 1;
    const seen = new Set<boolean>();
    const watching = setInterval(() => seen.add(made.router.status().llmEndpoints[0]!.ready), 5);
    try {
      assert.equal((await complete(made.router.url)).choices[0]?.message.content, 'bat', 'the token was asked for again');
    } finally {
      clearInterval(watching);
    }
    assert.equal(llm.aborted.size, 1, 'the prime timed out');
    assert.deepEqual([...seen], [true], 'it took calls all the while');
  });

  it('asks the engines for their context length until they say it', async () => {
    const made = await on({
      lines: cat,
      slm: { contextLength: 300, tellsContext: false },
      llm: { contextLength: 200, tellsContext: false },
    });
    const context = async (): Promise<number | undefined> =>
      ((await (await fetch(`${made.router.url}/v1/models`)).json()) as { data: { max_model_len: number }[] }).data[0]?.max_model_len;
    assert.equal(await context(), 4096, "the models' own until then");
    made.slm.behaviour.tellsContext = true;
    await until(async () => (await context()) === 294, 'the SLM server has said');
    made.llms[0]!.behaviour.tellsContext = true;
    await until(async () => (await context()) === 194, 'the LLM server has said');
  });

  it('tries a stumbling SLM again, and gives up with 503', async () => {
    const made = await on({ lines: cat });
    let stumbles = 3;
    made.slm.behaviour.intercept = (_, response) => {
      if (stumbles-- <= 0) return false;
      response.destroy();
      return true;
    };
    assert.equal((await complete(made.router.url)).choices[0]?.message.content, 'bat');
    stumbles = Infinity;
    const response = await post(made.router.url, ask);
    assert.equal(response.status, 503);
    assert.equal(((await response.json()) as Chunk).error?.code, 'slm_unavailable');
    made.slm.behaviour.intercept = (_, answer) => {
      answer.writeHead(400).end('{"error":{"message":"no"}}');
      return true;
    };
    const refused = await post(made.router.url, ask);
    assert.deepEqual([refused.status, ((await refused.json()) as Chunk).error?.code], [502, 'engine_error']);
  });

  it('sends no new call to a replica that is being drained, and acknowledges it', async () => {
    const made = await on({ lines: cat, llms: 2 });
    const turns = async (): Promise<void> => {
      for (let turn = 0; turn < 12; turn++) await complete(made.router.url, { prompt_cache_key: `${turn}` });
    };
    await turns();
    assert.ok(made.llms.every(({ calls }) => calls.length > 0));
    made.configure({ drainingPodUIDs: ['pod-1'] });
    const before = made.llms[1]!.calls.length;
    await turns();
    assert.equal(made.llms[1]!.calls.length, before);
    const drained = made.router.status().llmEndpoints.find(({ podUID }) => podUID === 'pod-1');
    const { load, ...told } = drained ?? {};
    assert.deepEqual(told, { podUID: 'pod-1', address: made.llms[1]!.url, ready: false, draining: true, inFlight: 0 });
    assert.ok(load === undefined || load.kvUsage === 0.25, 'as the replica says itself, once it was asked');
  });

  it('changes its configuration between requests, and keeps the last good one', async () => {
    const made = await on({ lines: [...cat, ...cat], slm: { stepMs: 30 } });
    const before = made.router.status().configDigest;
    const running = complete(made.router.url);
    await until(() => made.slm.calls.length > 0, 'a request runs');
    made.configure({ strategy: 'slm' });
    assert.equal((await running).choices[0]?.message.content, 'batbat', 'the request that was running kept its configuration');
    assert.equal((await complete(made.router.url)).choices[0]?.message.content, 'catcat');
    const good = made.router.status();
    assert.notEqual(good.configDigest, before);
    for (const bad of ['', '{', '{}', JSON.stringify({ strategy: 'dice' })]) made.config.set(bad);
    assert.deepEqual([made.router.status().configDigest, made.router.status().strategy], [good.configDigest, 'slm']);
    assert.match(await (await fetch(`${made.router.adminUrl}/metrics`)).text(), /^r2r_config_errors_total 4$/m);
  });

  it('reads its configuration from a file and sees it change', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'r2r-config-'));
    try {
      const path = join(folder, 'router.json');
      const errors: string[] = [];
      const config = {
        modelName: 'filed',
        strategy: 'slm',
        maxDraftTokens: 4,
        onLLMUnavailable: 'Fail',
        llmTimeoutSeconds: 1,
        drainingPodUIDs: [],
      };
      const source = configFile(path, (error) => errors.push(error.message), 20);
      const made = await stage({ lines: cat, router: { config: source } });
      open.push(made);
      await until(() => errors.length === 1, 'a missing file is told once');
      assert.ok(made.router.readiness().waitingFor.includes('its configuration'));
      await writeFile(path, JSON.stringify(config));
      await until(() => made.router.readiness().ready, 'ready');
      assert.equal((await complete(made.router.url, { model: 'filed' })).choices[0]?.message.content, 'cat');
      const text = JSON.stringify({ ...config, modelName: 'renamed' });
      await writeFile(path, text);
      const digest = createHash('sha256').update(text).digest('hex');
      await until(() => made.router.status().configDigest === digest, 'the change is in force');
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('drains: not ready at once, still answering for a while, then finishing what runs', async () => {
    const made = await readyStage({ lines: say('x'.repeat(100)), slm: { stepMs: 10 }, router: { drainDelayMs: 500 } });
    const running = streamed(made.router.url);
    await until(() => made.router.status().inFlight === 1, 'a request runs');
    const stopped = made.router.stop();
    const ready = await fetch(`${made.router.url}/ready`);
    assert.deepEqual([ready.status, ready.headers.get('connection')], [503, 'close']);
    const late = complete(made.router.url, { max_tokens: 2 });
    assert.equal((await late).choices[0]?.message.content, 'xx', 'whoever has not heard yet is served');
    assert.equal((await running).content, 'x'.repeat(100), 'what ran was finished');
    assert.equal(await stopped, true);
    await assert.rejects(fetch(`${made.router.url}/health`));
    await made.close();
  });

  it('cuts what outlasts the drain timeout, and says so', async () => {
    const made = await readyStage({ lines: say('x'.repeat(2000)), slm: { stepMs: 20 }, router: { drainTimeoutMs: 200 } });
    const running = streamed(made.router.url);
    await until(() => made.router.status().inFlight === 1, 'a request runs');
    const [cut] = await Promise.all([made.router.stop(), assert.rejects(running)]);
    assert.equal(cut, false);
    await made.close();
  });
});
