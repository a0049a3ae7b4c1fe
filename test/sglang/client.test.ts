import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { EngineError, SequenceJson, SglangClient } from '../../src/sglang/index.ts';
import { bodyText, recording } from './recordings.ts';

type Handler = (request: IncomingMessage & { readonly text: string }, response: ServerResponse) => void;

const call = { ids: [10, 20], maxNewTokens: 1, timeoutMs: 20_000 };
const answerTo = (text: string): string => {
  const { rid, input_ids } = JSON.parse(text) as { rid: string; input_ids: number[] };
  const meta_info = {
    id: rid,
    finish_reason: { type: 'length', length: 1 },
    prompt_tokens: input_ids.length,
    completion_tokens: 1,
    cached_tokens: 1,
  };
  return JSON.stringify({ text: '', output_ids: [7], meta_info });
};

describe('the SGLang client', function () {
  this.timeout(30_000);
  const servers: Server[] = [];
  const clients: SglangClient[] = [];
  const sockets: Socket[] = [];

  const serve = async (handler: Handler): Promise<SglangClient> => {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => handler(Object.assign(request, { text: Buffer.concat(chunks).toString('utf8') }), response));
    });
    server.on('connection', (socket) => sockets.push(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    servers.push(server);
    const address = server.address();
    assert.ok(typeof address === 'object' && address);
    const client = new SglangClient({ url: `http://127.0.0.1:${address.port}/`, vocabSize: 512, infoTimeoutMs: 5_000 });
    clients.push(client);
    return client;
  };
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.destroy();
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
    sockets.splice(0);
  });

  const failsWith =
    (code: string, retryable: boolean) =>
    (error: unknown): boolean => {
      assert.ok(error instanceof EngineError, String(error));
      assert.deepEqual([error.code, error.retryable], [code, retryable], error.message);
      return true;
    };

  it('reads what a real SGLang says of itself', async () => {
    const recordings: Record<string, string> = {
      '/model_info': 'model_info',
      '/server_info': 'server_info',
      '/v1/models': 'v1_models',
      '/metrics': 'metrics',
      '/health': 'health',
    };
    const client = await serve((request, response) => {
      const found = recording(recordings[request.url!] ?? 'error_unknown_path');
      response.writeHead(found.response.status).end(bodyText(found));
    });
    assert.deepEqual(await client.modelInfo(), { model_path: '/models/slm', served_model_name: 'tiny-slm' });
    assert.deepEqual(await client.serverInfo(), {
      version: '0.5.23',
      context_length: 2048,
      max_req_input_len: 2042,
      enable_return_hidden_states: true,
      return_hidden_states_mode: 'full',
      disable_radix_cache: false,
      page_size: 1,
      dp_size: 1,
      is_embedding: false,
      disaggregation_mode: 'null',
      preferred_sampling_params: null,
    });
    assert.equal(await client.contextLength(), 2042);
    assert.deepEqual(await client.load(), { runningRequests: 0, queuedRequests: 0, tokenUsage: 0 });
    assert.equal(await client.health(), true);
    assert.equal(await client.ready(), false, 'a server without /ready is not ready');
  });

  it('reads large answers in a thread, small ones in place, and says where the time went', async () => {
    const width = 1536;
    const rids: unknown[] = [];
    const client = await serve((request, response) => {
      const { rid, input_ids, sampling_params } = JSON.parse(request.text) as {
        rid: string;
        input_ids: number[];
        sampling_params: { max_new_tokens: number };
      };
      rids.push(input_ids);
      const length = sampling_params.max_new_tokens;
      const state = Array.from({ length: width }, (_, index) => index / 64);
      const meta_info = {
        id: rid,
        finish_reason: { type: 'length', length },
        prompt_tokens: input_ids.length,
        completion_tokens: length,
        cached_tokens: 1,
        hidden_states: Array.from({ length }, (_, index) => (index === 0 ? [state, state] : state)),
      };
      response.end(JSON.stringify({ text: '', output_ids: Array.from({ length }, (_, index) => index), meta_info }));
    });
    const idsJson = SequenceJson.of(call.ids);
    const large = await client.generate({ ...call, idsJson, maxNewTokens: 8, hiddenStates: true });
    assert.deepEqual(rids, [call.ids]);
    assert.deepEqual(
      large.tokens.map(({ id, hidden }) => [id, hidden?.length, hidden?.[width - 1]]),
      Array.from({ length: 8 }, (_, index) => [index, width, (width - 1) / 64]),
    );
    assert.ok(large.cost!.bytes > 8_192 && large.cost!.decodeMs > 0 && large.cost!.wireMs > 0);
    const small = await client.generate({ ...call, maxNewTokens: 2 });
    assert.deepEqual(
      small.tokens.map(({ id }) => id),
      [0, 1],
    );
  });

  it('adds up the load of several ranks', async () => {
    const client = await serve((_, response) =>
      response.end(
        'sglang:num_running_reqs{dp_rank="0"} 2.0\nsglang:num_running_reqs{dp_rank="1"} 3.0\n' +
          'sglang:token_usage{dp_rank="0"} 0.25\nsglang:token_usage{dp_rank="1"} 0.5\nsglang:full_token_usage 0.9\n',
      ),
    );
    assert.deepEqual(await client.load(), { runningRequests: 5, tokenUsage: 0.5 });
  });

  for (const [name, code, retryable] of [
    ['error_too_long_input', 'rejected', false],
    ['error_unknown_sampling_param', 'rejected', false],
    ['error_empty_input_ids', 'rejected', false],
    ['error_bad_json', 'rejected', false],
    ['error_negative_max_new_tokens', 'rejected', false],
    ['duplicate_rid_second', 'rejected', false],
    ['error_unknown_path', 'rejected', false],
  ] as const) {
    it(`gives a typed error for the recorded ${name}`, async () => {
      const { response: recorded } = recording(name);
      const client = await serve((_, response) => response.writeHead(recorded.status).end(JSON.stringify(recorded.body)));
      await assert.rejects(client.generate(call), failsWith(code, retryable));
    });
  }

  it('tells failures that may pass from others', async () => {
    const hows: [how: Handler, code: string][] = [
      [(_, response) => response.writeHead(500).end('Internal Server Error'), 'server_error'],
      [(_, response) => response.writeHead(503).end(), 'overloaded'],
      [(_, response) => response.writeHead(200).end('{"output_ids": ['), 'malformed'],
      [(_, response) => response.writeHead(200).end('{}'), 'malformed'],
      [(_, response) => response.writeHead(302).end(), 'malformed'],
      [(_, response) => response.writeHead(200, { 'content-length': '500' }).write('{"out', () => response.destroy()), 'unreachable'],
      [(request) => request.socket.destroy(), 'unreachable'],
    ];
    for (const [how, code] of hows) await assert.rejects((await serve(how)).generate(call), failsWith(code, true));
    const nobody = new SglangClient({ url: 'http://127.0.0.1:9', vocabSize: 512 });
    clients.push(nobody);
    await assert.rejects(nobody.generate(call), failsWith('unreachable', true));
  });

  it('aborts a cancelled call first, drains its answer, and only then lets go', async () => {
    const order: string[] = [];
    let finish: (() => void) | undefined;
    const client = await serve((request, response) => {
      if (request.url === '/abort_request') {
        const { rid } = JSON.parse(request.text) as { rid: string };
        order.push(`abort ${rid}`);
        response.end();
        return;
      }
      const { rid } = JSON.parse(request.text) as { rid: string };
      order.push(`generate ${rid}`);
      response.on('close', () => order.push(response.writableFinished ? 'drained' : 'cut'));
      finish = () => response.end(answerTo(request.text));
    });
    const leaving = new AbortController();
    const pending = client.generate(call, leaving.signal);
    await until(() => order.length === 1);
    leaving.abort(new Error('left'));
    await assert.rejects(pending, (error) => error === leaving.signal.reason, 'the caller does not wait for the server');
    await until(() => order.length === 2);
    assert.equal(client.inFlight, 1, 'the server may still be working on it');
    finish?.();
    await until(() => client.inFlight === 0);
    const [generate = '', abort = '', end] = order;
    assert.equal(abort.replace('abort', 'generate'), generate);
    assert.match(generate, /^generate [0-9a-f-]{36}$/, 'rids have one length, so none is the beginning of another');
    assert.equal(end, 'drained');
  });

  it('aborts a call that takes too long, and says so', async () => {
    const aborted: string[] = [];
    const client = await serve((request, response) => {
      if (request.url !== '/abort_request') return;
      aborted.push(request.text);
      response.end();
    });
    await assert.rejects(client.generate({ ...call, timeoutMs: 50 }), failsWith('timeout', true));
    await until(() => aborted.length === 1);
  });

  it('sends nothing for a call that was cancelled before', async () => {
    let seen = 0;
    const client = await serve(() => seen++);
    await assert.rejects(client.generate(call, AbortSignal.abort(new Error('early'))), /early/);
    assert.deepEqual([seen, client.inFlight], [0, 0]);
  });

  it('is not harmed by a connection that the server closes just as the next call is written', async () => {
    const rids: string[] = [];
    const served = new WeakSet<Socket>();
    const client = await serve((request, response) => {
      rids.push((JSON.parse(request.text) as { rid: string }).rid);
      if (served.has(request.socket)) request.socket.destroy();
      else response.end(answerTo(request.text));
      served.add(request.socket);
    });
    for (let turn = 0; turn < 20; turn++) assert.equal((await client.generate(call)).tokens[0]?.id, 7);
    assert.ok(rids.length > 20, 'some calls met a closing connection');
    assert.equal(new Set(rids).size, rids.length, 'a call is repeated under a new rid');
  });

  it('keeps connections for the next call, but lets go of idle ones before the 5 s of uvicorn', async () => {
    const client = await serve((request, response) => response.end(answerTo(request.text)));
    for (let turn = 0; turn < 20; turn++) await client.generate(call);
    assert.ok(sockets.length < 5, `${sockets.length} connections for 20 calls`);
    const idleSince = performance.now();
    await Promise.all(sockets.filter(({ destroyed }) => !destroyed).map((socket) => once(socket, 'close')));
    assert.ok(performance.now() - idleSince < 4_900);
  });
});

async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`not within 10 s: ${holds.toString()}`);
    await new Promise(setImmediate);
  }
}
