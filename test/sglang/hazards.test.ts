import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { EngineError, SglangClient } from '../../src/sglang/index.ts';
import { distribution } from '../router/scripted-models.ts';
import { ScriptedServer, type ReceivedCall, type ScriptedServerOptions } from '../router/scripted-server.ts';
import { until } from '../router/stage.ts';

const vocabSize = 512;
/** Counts up from the last token. */
const next: ScriptedServerOptions['next'] = (prefix) => {
  const id = (prefix.at(-1)! + 1) % 100;
  return { id, top: distribution(id, 0.9) };
};
const call = { ids: [10, 20], maxNewTokens: 3, timeoutMs: 20_000 };
const said = [21, 22, 23];

describe("the client before a server with SGLang's hazards", function () {
  this.timeout(60_000);
  const open: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of open.splice(0).reverse()) await close();
  });
  const serve = async (options: Partial<ScriptedServerOptions> = {}) => {
    const server = await new ScriptedServer({ next, vocabSize, ...options }).start();
    open.push(() => server.stop());
    return { server, client: connect(server.url) };
  };
  const connect = (url: string): SglangClient => {
    const client = new SglangClient({ url, vocabSize });
    open.push(() => client.destroy());
    return client;
  };
  const tokensOf = async (client: SglangClient, change: object = {}): Promise<readonly number[]> =>
    (await client.generate({ ...call, ...change })).tokens.map(({ id }) => id);

  it('ends one request alone where an abort ends every request whose rid begins so', async () => {
    const { server, client } = await serve({ stepMs: 5 });
    const leaving = Array.from({ length: 16 }, () => new AbortController());
    const left = leaving.map(({ signal }) => assert.rejects(client.generate({ ...call, maxNewTokens: 60 }, signal)));
    const staying = leaving.map(() => tokensOf(client, { maxNewTokens: 60 }));
    await until(() => server.running === 32, 'all run');
    for (const controller of leaving) controller.abort();
    await Promise.all(left);
    for (const ids of await Promise.all(staying)) assert.equal(ids.length, 60);
    assert.equal(server.aborted.size, 16);
    assert.ok([...server.aborted].every((rid) => rid.length === 36));
    // That the server does behave so: what we never send.
    const doomed = Promise.all([1, 2, 3].map(() => assert.rejects(client.generate({ ...call, maxNewTokens: 400 }), /aborted the request/)));
    await until(() => server.running === 3, 'three run');
    await fetch(`${server.url}/abort_request`, { method: 'POST', body: '{"rid":""}' });
    await doomed;
  });

  it('leaves no zombie: aborts first, reads the answer to its end, and only then lets go', async () => {
    const { server, client } = await serve({ stepMs: 20 });
    const controllers = Array.from({ length: 8 }, () => new AbortController());
    const calls = controllers.map(({ signal }) => assert.rejects(client.generate({ ...call, maxNewTokens: 500 }, signal)));
    const late = assert.rejects(
      client.generate({ ...call, maxNewTokens: 500, timeoutMs: 100 }),
      (error) => error instanceof EngineError && error.code === 'timeout',
    );
    await until(() => server.running === 9, 'all run');
    for (const controller of controllers) controller.abort();
    await Promise.all([...calls, late]);
    await until(() => server.running === 0 && client.inFlight === 0, 'the server is idle long before 500 steps', 5_000);
    assert.equal(server.zombies, 0);
    // That the server does behave so: a connection that is closed first leaves a request that no abort ends.
    const rid = '11111111-1111-4111-8111-111111111111';
    const rude = new AbortController();
    const body = JSON.stringify({ rid, input_ids: [1], sampling_params: { max_new_tokens: 30, temperature: 0 } });
    const request = assert.rejects(fetch(`${server.url}/generate`, { method: 'POST', body, signal: rude.signal }));
    await until(() => server.running === 1, 'it runs');
    rude.abort();
    await request;
    await until(() => server.zombies === 1, 'it is a zombie');
    await client.abort(rid);
    await sleep(100);
    assert.equal(server.running, 1);
  });

  it('repeats an abort that overtook its request', async () => {
    const { server, client } = await serve({ stepMs: 20 });
    const heard = server.aborted.add.bind(server.aborted);
    let early = 0;
    server.aborted.add = (rid) => (early++ === 0 ? server.aborted : heard(rid));
    const leaving = new AbortController();
    const pending = assert.rejects(client.generate({ ...call, maxNewTokens: 1_000 }, leaving.signal));
    await until(() => server.running === 1, 'it runs');
    leaving.abort();
    await pending;
    await until(() => client.inFlight === 0, 'it was ended by the second abort', 5_000);
    assert.deepEqual([early >= 2, server.zombies], [true, 0]);
  });

  it('loses and repeats no token where idle connections are closed early and unannounced', async () => {
    const { server, client } = await serve({ idleMs: 15 });
    for (let turn = 0; turn < 60; turn++) {
      assert.deepEqual(await tokensOf(client), said);
      // Around the moment at which the server lets go.
      await sleep(13 + (turn % 5));
    }
    const rids = server.calls.map(({ rid }) => rid);
    assert.equal(new Set(rids).size, rids.length, 'each try has a rid of its own');
    assert.deepEqual([server.running, server.zombies], [0, 0]);
  });

  it('lets go of a connection before the server does after 5 s', async () => {
    const { server, client } = await serve({ idleMs: 5_000 });
    assert.deepEqual(await tokensOf(client), said);
    await sleep(4_990);
    // Ours is gone by now: this one goes out on another connection, just as the server would have closed the first.
    assert.deepEqual(await tokensOf(client), said);
    assert.equal(server.calls.length, 2, 'no call met a closing connection');
  });

  it('takes a rid that is taken for a refusal, and never uses one twice', async () => {
    const { server, client } = await serve({ stepMs: 10 });
    const both = Promise.all([tokensOf(client), tokensOf(client)]);
    await until(() => server.running === 2, 'both run');
    const [{ rid }] = server.calls as [ReceivedCall];
    const body = JSON.stringify({ rid, input_ids: [1], sampling_params: { max_new_tokens: 1, temperature: 0 } });
    const response = await fetch(`${server.url}/generate`, { method: 'POST', body });
    assert.deepEqual([response.status, /Duplicate request ID/.test(await response.text())], [400, true]);
    assert.deepEqual(await both, [said, said]);
  });

  it('never sends what a server dies of', async () => {
    const { server, client } = await serve();
    const refused = async (change: object, code: string): Promise<void> =>
      assert.rejects(client.generate({ ...call, ...change }), (error) => {
        assert.ok(error instanceof EngineError);
        assert.deepEqual([error.code, error.retryable], [code, false]);
        return true;
      });
    for (const id of [vocabSize, 1e9, -5, 1.5, Number.NaN]) await refused({ ids: [1, id] }, 'invalid_token');
    await refused({ ids: [] }, 'invalid_call');
    for (const maxNewTokens of [0, -1, 1.5, Number.NaN]) await refused({ maxNewTokens }, 'invalid_call');
    assert.equal(server.calls.length, 0);
    await client.generate({ ...call, topLogprobs: 9_999 }).catch(() => undefined);
    assert.deepEqual([server.calls[0]?.top_logprobs_num, server.died], [vocabSize, undefined]);
  });

  it('says how long an overloaded server wants to be left alone', async () => {
    const { server, client } = await serve();
    for (const [status, header, expected] of [
      [429, '3', 3_000],
      [503, '0.5', 500],
      [503, 'Wed, 21 Oct 2026 07:28:00 GMT', undefined],
      [503, '-1', undefined],
      [429, undefined, undefined],
    ] as const) {
      server.behaviour.intercept = (_, response) =>
        Boolean(response.writeHead(status, header === undefined ? {} : { 'retry-after': header }).end());
      await assert.rejects(client.generate(call), (error) => {
        assert.ok(error instanceof EngineError);
        assert.deepEqual([error.code, error.retryable, error.retryAfterMs], ['overloaded', true, expected]);
        return true;
      });
    }
  });

  it('takes no answer that belongs to another call on the same connection', async () => {
    // Answers the first request twice: whoever comes next finds the second answer waiting.
    let requests = 0;
    const raw: Server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (data) => {
        requests++;
        const { rid } = JSON.parse(data.toString().slice(data.toString().indexOf('\r\n\r\n') + 4)) as ReceivedCall;
        const meta = { id: rid, finish_reason: { type: 'length' }, prompt_tokens: 2, completion_tokens: 1, cached_tokens: 1 };
        const body = JSON.stringify({ output_ids: [requests], meta_info: meta });
        const answer = `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
        socket.write(requests === 1 ? answer + answer : answer);
      });
    });
    raw.listen(0, '127.0.0.1');
    await once(raw, 'listening');
    const address = raw.address();
    assert.ok(typeof address === 'object' && address);
    open.push(() => new Promise((resolve) => raw.close(resolve)));
    const client = connect(`http://127.0.0.1:${address.port}`);
    assert.deepEqual(await tokensOf(client, { maxNewTokens: 1 }), [1]);
    for (let turn = 0; turn < 5; turn++) {
      const ids = await tokensOf(client, { maxNewTokens: 1 }).catch((error: unknown): readonly number[] => {
        assert.ok(error instanceof EngineError && error.retryable);
        return [];
      });
      assert.ok(!ids.includes(1));
    }
  });
});
