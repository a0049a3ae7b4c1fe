import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, chunks, complete, post, streamed, type Chunk } from './chat-client.ts';
import { vocabulary } from './model-folder.ts';
import type { ReceivedCall, ScriptedServer } from './scripted-server.ts';
import { readyStage, say, until, type Line, type Stage, type StageOptions } from './stage.ts';

const letter = (character: string): number => character.charCodeAt(0);
/** Eight times `abcdef`, of which the LLM is asked for `c`, where it agrees, and for `f`, where it says `F`. */
const lines: Line[] = Array.from({ length: 8 }).flatMap(() =>
  Array.from('abcdef', (character) => ({
    id: letter(character),
    unsure: character === 'c' || character === 'f',
    ...(character === 'f' && { llm: letter('F') }),
  })),
);
const routed = 'abcdeF'.repeat(8);
const drafted = 'abcdef'.repeat(8);
const lookaheads = ['Off', 'Single', 'Nested'] as const;

const askIn = (conversation: string) => ({ messages: [{ role: 'user', content: `say it in ${conversation}` }] });
/** Whether a call belongs to a conversation: its prompt is in every call. */
const isOf = (conversation: string, { input_ids: ids }: Pick<ReceivedCall, 'input_ids'>): boolean =>
  Buffer.from(ids.map((id) => Math.min(id, 255))).includes(`say it in ${conversation}`);

describe('engines that fail while answers are under way', function () {
  this.timeout(60_000);
  const open: Stage[] = [];
  const on = async (options: Omit<StageOptions, 'lines'> & { readonly lines?: Line[] }): Promise<Stage> => {
    const made = await readyStage({ lines, ...options });
    open.push(made);
    return made;
  };
  afterEach(async () => {
    for (const made of open.splice(0)) {
      const rids = [made.slm, ...made.llms].flatMap(({ calls }) => calls.map(({ rid }) => rid));
      assert.ok(rids.every((rid) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(rid)));
      assert.equal(new Set(rids).size, rids.length, 'no rid is used twice');
      for (const server of [made.slm, ...made.llms]) {
        assert.equal(server.died, undefined);
        assert.ok(!server.paths.some((path) => path.startsWith('/health')), 'a health check generates a token on SGLang');
      }
      await made.close();
    }
  });
  const restartLater = async (server: ScriptedServer, awayMs: number): Promise<void> => {
    const port = Number(new URL(server.url).port);
    await server.stop();
    await sleep(awayMs);
    await server.start(port);
  };

  for (const lookahead of lookaheads) {
    it(`loses and repeats nothing when the SLM server restarts in the middle of a block (look-ahead ${lookahead})`, async () => {
      const made = await on({ config: { lookahead }, slm: { stepMs: 10 } });
      const answer = streamed(made.router.url, { r2r: { tokens: true } });
      await until(() => made.slm.calls.length >= 4 && made.slm.running > 0, 'a block is being drafted');
      await restartLater(made.slm, 1_200);
      const { content, last, tokens } = await answer;
      assert.equal(content, routed);
      assert.deepEqual(last?.r2r?.token_counts, { slm: 33, llm: 16, fallback: 0 });
      assert.equal(tokens.length, 49);
    });
  }

  it('ends cleanly when the SLM server stays away: 503 before the first token, an error event behind the last', async () => {
    const made = await on({ config: { lookahead: 'Nested' }, slm: { stepMs: 10 } });
    const events: (Chunk | '[DONE]')[] = [];
    const reading = (async () => {
      for await (const event of chunks(await post(made.router.url, { ...ask, stream: true }))) events.push(event);
    })();
    await until(() => events.length > 3, 'tokens come');
    await made.slm.stop();
    await reading;
    const parts = events.filter((event) => event !== '[DONE]');
    assert.equal(parts.length, events.length, 'no [DONE]');
    assert.equal(parts.at(-1)?.error?.code, 'slm_unavailable');
    // an error event has no choices
    const content = parts.map(({ choices }: Partial<Chunk>) => choices?.[0]?.delta.content ?? '').join('');
    assert.ok(content.length > 0 && routed.startsWith(content), content);
    const response = await post(made.router.url, ask);
    assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '5']);
    assert.equal(((await response.json()) as Chunk).error?.code, 'slm_unavailable');
    await until(() => made.router.status().inFlight === 0 && !made.router.readiness().ready, 'nothing is left, and it says so');
  });

  const losses: Readonly<Record<string, (made: Stage, lost: ScriptedServer) => Promise<void> | void>> = {
    'is killed': (_, lost) => lost.stop(),
    'hangs without an answer': (_, lost) => {
      lost.behaviour.intercept = () => true;
    },
    'answers 500': (_, lost) => {
      lost.behaviour.intercept = (__, response) => Boolean(response.writeHead(500).end());
    },
    'is overloaded': (_, lost) => {
      lost.behaviour.intercept = (__, response) => Boolean(response.writeHead(429, { 'retry-after': '1' }).end());
    },
    'leaves the list of endpoints': ({ endpoints, llms }, lost) =>
      endpoints.set(llms.flatMap(({ url }, index) => (url === lost.url ? [] : [{ url, podUID: `pod-${index}`, ready: true }]))),
    'leaves the list of endpoints and is killed': async ({ endpoints, llms }, lost) => {
      endpoints.set(llms.flatMap(({ url }, index) => (url === lost.url ? [] : [{ url, podUID: `pod-${index}`, ready: true }])));
      await lost.stop();
    },
  };
  for (const [how, lose] of Object.entries(losses)) {
    for (const lookahead of ['Single', 'Nested'] as const) {
      it(`moves only the conversations of an LLM replica that ${how} (look-ahead ${lookahead})`, async () => {
        const made = await on({ llms: 2, config: { lookahead, llmTimeoutSeconds: 4 }, llm: { stepMs: 15 } });
        const names = Array.from({ length: 8 }, (_, index) => `conversation-${index}`);
        const answers = names.map((name) => streamed(made.router.url, { ...askIn(name), r2r: { tokens: true } }));
        const callsOf = (llm: ScriptedServer, name: string): number => llm.calls.filter((call) => isOf(name, call)).length;
        const [lost, kept] = [made.llms[0]!, made.llms[1]!];
        await until(() => names.every((name) => callsOf(lost, name) + callsOf(kept, name) >= 2) && lost.running > 0, 'all are under way');
        const stays = names.filter((name) => callsOf(lost, name) === 0);
        assert.ok(stays.length > 0 && stays.length < names.length, 'both replicas have conversations');
        await lose(made, lost);
        for (const { content, last, tokens } of await Promise.all(answers)) {
          assert.equal(content, routed);
          assert.deepEqual([last?.r2r?.token_counts, last?.r2r?.degraded], [{ slm: 33, llm: 16, fallback: 0 }, false]);
          assert.equal(tokens.length, 49);
        }
        for (const name of stays) assert.equal(callsOf(lost, name), 0, 'the others stayed where they were');
      });
    }
  }

  it('keeps a replica for others while it reads one long prompt: only that conversation looks elsewhere', async () => {
    const made = await on({ llms: 2, config: { lookahead: 'Nested', llmTimeoutSeconds: 4, onLLMUnavailable: 'Fail' } });
    const others = Array.from({ length: 4 }, (_, index) => `short-${index}`);
    const callsOf = (llm: ScriptedServer, name: string): number => llm.calls.filter((call) => isOf(name, call)).length;
    for (const llm of made.llms)
      llm.behaviour.intercept = (call) => isOf('long', call) && llm === made.llms.find((each) => callsOf(each, 'long') > 0);
    const unavailable = new Set<string>();
    const watching = setInterval(() => {
      for (const { address, ready } of made.router.status().llmEndpoints) if (!ready) unavailable.add(address);
    }, 2);
    try {
      const long = complete(made.router.url, askIn('long'));
      let rounds = 0;
      const busy = (async () => {
        for (const end = Date.now() + 6_000; Date.now() < end; rounds++) {
          for (const answer of await Promise.all(others.map((name) => complete(made.router.url, askIn(name)))))
            assert.equal(answer.choices[0]?.message.content, routed);
          await sleep(100);
        }
      })();
      const { choices, r2r } = await long;
      assert.deepEqual([choices[0]?.message.content, r2r?.degraded], [routed, false]);
      await busy;
      assert.ok(rounds > 0);
    } finally {
      clearInterval(watching);
    }
    assert.deepEqual([...unavailable], [], 'each took calls all the while');
    for (const name of others)
      assert.ok(
        made.llms.some((llm) => callsOf(llm, name) === 0),
        `${name} stayed on one replica`,
      );
    assert.ok(
      made.llms.every((llm) => callsOf(llm, 'long') > 0),
      'the long one went from one to the other',
    );
  });

  it('lets the SLM step in for the one conversation that a single replica is too slow for, and for nobody else', async () => {
    const made = await on({ config: { lookahead: 'Single', llmTimeoutSeconds: 1.5 } });
    const llm = made.llms[0]!;
    llm.behaviour.intercept = (call) => isOf('long', call);
    const long = complete(made.router.url, askIn('long'));
    const end = Date.now() + 4_500;
    for (let turn = 0; Date.now() < end; turn++) {
      const { choices, r2r } = await complete(made.router.url, askIn(`short-${turn}`));
      assert.deepEqual([choices[0]?.message.content, r2r?.degraded], [routed, false]);
    }
    assert.equal(made.router.status().llmEndpoints[0]?.ready, true);
    llm.behaviour.intercept = () => false;
    const { choices, r2r } = await long;
    assert.equal(choices[0]?.message.content.toLowerCase(), drafted);
    assert.ok(r2r?.degraded && (r2r.token_counts?.['fallback'] ?? 0) > 0);
  });

  it('takes a replica that hangs for everybody out, and takes it back', async () => {
    const made = await on({ llms: 2, config: { llmTimeoutSeconds: 3 } });
    const hung = made.llms[0]!;
    hung.behaviour.intercept = () => true;
    const ready = (): (boolean | undefined)[] => made.router.status().llmEndpoints.map((endpoint) => endpoint.ready);
    const names = Array.from({ length: 8 }, (_, index) => `conversation-${index}`);
    const answers = await Promise.all(names.map((name) => complete(made.router.url, askIn(name))));
    for (const { choices, r2r } of answers) assert.deepEqual([choices[0]?.message.content, r2r?.degraded], [routed, false]);
    await until(() => ready().join() === 'false,true', 'it is out');
    hung.behaviour.intercept = () => false;
    await until(() => ready().join() === 'true,true', 'it is back');
  });

  for (const lookahead of lookaheads) {
    it(`marks each token that the SLM supplies while all replicas are lost, and comes back (look-ahead ${lookahead})`, async () => {
      const made = await on({ llms: 2, config: { lookahead, llmTimeoutSeconds: 0.3 }, slm: { stepMs: 3 } });
      const before = streamed(made.router.url, { r2r: { tokens: true } });
      await until(() => made.llms.some(({ calls }) => calls.length > 3), 'it is under way');
      const ports = made.llms.map(({ url }) => Number(new URL(url).port));
      await Promise.all(made.llms.map((llm) => llm.stop()));
      const { content, tokens, last } = await before;
      const sources = tokens.map(({ source }) => source);
      const words = tokens.slice(0, -1).map(({ source, text }, at) => [at, source, text] as const);
      for (const [at, source, text] of words) {
        const asked = lines[at]!.unsure === true;
        assert.equal(text, (source === 'llm' ? routed : drafted)[at]);
        assert.ok(asked ? source !== 'slm' : source === 'slm', `token ${at} is of the ${source}`);
      }
      assert.equal(content.toLowerCase(), drafted);
      assert.ok(sources.lastIndexOf('llm') < sources.indexOf('fallback'), 'the LLM was lost once');
      assert.equal(last?.r2r?.degraded, true);
      const lost = await complete(made.router.url, askIn('the outage'));
      assert.deepEqual([lost.choices[0]?.message.content, lost.r2r?.token_counts], [drafted, { slm: 33, llm: 0, fallback: 16 }]);
      await Promise.all(made.llms.map((llm, index) => llm.start(ports[index])));
      await until(async () => !(await complete(made.router.url)).r2r?.degraded, 'the LLM supplies tokens again');
    });

    it(`waits for lost replicas where told so, and goes on exactly where it was (look-ahead ${lookahead})`, async () => {
      const made = await on({ llms: 2, config: { lookahead, llmTimeoutSeconds: 0.2, onLLMUnavailable: 'Wait' }, slm: { stepMs: 3 } });
      const client = new AbortController();
      const answer = streamed(made.router.url, { ...askIn('patience'), r2r: { tokens: true } });
      const leaving = post(made.router.url, { ...ask, ...askIn('haste') }, { signal: client.signal });
      await until(() => made.llms.flatMap(({ calls }) => calls).length > 6, 'both are under way');
      const ports = made.llms.map(({ url }) => Number(new URL(url).port));
      await Promise.all(made.llms.map((llm) => llm.stop()));
      await until(() => made.router.status().llmEndpoints.every(({ ready }) => !ready), 'the LLM is seen to be away');
      await sleep(600);
      assert.equal(made.router.status().inFlight, 2, 'both wait for longer than the timeout');
      client.abort();
      await assert.rejects(leaving);
      await until(() => made.router.status().inFlight === 1, 'who left waits no more');
      await Promise.all(made.llms.map((llm, index) => llm.start(ports[index])));
      const { content, last, tokens } = await answer;
      assert.deepEqual([content, last?.r2r?.degraded, tokens.length], [routed, false, 49]);
    });

    it(`fails where told so with what was certain, and nothing in flight (look-ahead ${lookahead})`, async () => {
      const made = await on({ llms: 2, config: { lookahead, llmTimeoutSeconds: 0.2, onLLMUnavailable: 'Fail' }, slm: { stepMs: 3 } });
      const events: (Chunk | '[DONE]')[] = [];
      const reading = (async () => {
        for await (const event of chunks(await post(made.router.url, { ...ask, stream: true }))) events.push(event);
      })();
      await until(() => made.llms.some(({ calls }) => calls.length > 3), 'it is under way');
      await Promise.all(made.llms.map((llm) => llm.stop()));
      await reading;
      const parts = events.filter((event) => event !== '[DONE]');
      assert.deepEqual([parts.length === events.length, parts.at(-1)?.error?.code], [true, 'llm_unavailable']);
      const content = parts.map(({ choices }: Partial<Chunk>) => choices?.[0]?.delta.content ?? '').join('');
      assert.ok(routed.startsWith(content), content);
      await until(() => made.router.status().inFlight === 0 && made.slm.running === 0, 'nothing is under way');
    });
  }

  it('heeds a Retry-After of an overloaded SLM server, and hands it on when it gives up', async () => {
    const made = await on({ lines: say('ok') });
    let refusals = 1;
    made.slm.behaviour.intercept = (_, response) => {
      if (refusals-- <= 0) return false;
      response.writeHead(503, { 'retry-after': '1' }).end();
      return true;
    };
    const started = Date.now();
    assert.equal((await complete(made.router.url)).choices[0]?.message.content, 'ok');
    assert.ok(Date.now() - started >= 990);
    refusals = Infinity;
    made.slm.behaviour.intercept = (_, response) => Boolean(response.writeHead(429, { 'retry-after': '77' }).end());
    const calls = made.slm.calls.length;
    const response = await post(made.router.url, ask);
    assert.deepEqual([response.status, response.headers.get('retry-after'), made.slm.calls.length - calls], [503, '77', 5]);
  });

  it('leaves nothing running on the engines when clients leave, and harms nobody else', async () => {
    const made = await on({
      lines: [...lines, ...say('x'.repeat(300))],
      config: { lookahead: 'Nested', maxDraftTokens: 64 },
      slm: { stepMs: 4 },
      llm: { stepMs: 4 },
    });
    const whole = routed + 'x'.repeat(300);
    const clients = Array.from({ length: 8 }, () => new AbortController());
    const answers = clients.map(async ({ signal }, index) => {
      const response = await post(made.router.url, { ...ask, ...askIn(`conversation-${index}`), stream: true }, { signal });
      return response.text();
    });
    await until(() => made.router.status().window.tokens.slm > 100 && made.slm.running > 0, 'they are under way');
    const gone = Promise.all(answers.slice(0, 4).map((answer) => assert.rejects(answer)));
    for (const client of clients.slice(0, 4)) client.abort();
    await gone;
    for (const text of await Promise.all(answers.slice(4))) {
      const parts = text.split('\n\n').filter((event) => event.startsWith('data: {'));
      assert.equal(parts.map((part) => (JSON.parse(part.slice(6)) as Chunk).choices[0]?.delta.content ?? '').join(''), whole);
    }
    await until(() => made.slm.running + made.llms[0]!.running === 0, 'the engines are idle');
    assert.deepEqual([made.slm.zombies, made.llms[0]!.zombies], [0, 0]);
  });

  it('never asks for more log-probabilities than there are tokens, nor sends an id that the models lack', async () => {
    const made = await on({ lines: [{ id: letter('c'), unsure: true, llm: vocabulary.length + 3 }, ...say('at')] });
    assert.equal((await complete(made.router.url)).choices[0]?.message.content, 'cat');
    for (const { calls } of [made.slm, ...made.llms])
      for (const call of calls) {
        assert.ok(call.input_ids.every((id) => id < vocabulary.length));
        assert.ok((call.top_logprobs_num ?? 0) <= vocabulary.vocabSize);
      }
  });
});
