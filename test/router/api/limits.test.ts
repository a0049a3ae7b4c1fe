import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { routerDefaults } from '../../../src/api/router-config.ts';
import { ask, chunks, complete, post, type Chunk, type Refusal } from '../chat-client.ts';
import { readyStage, say, until, type Stage, type StageOptions } from '../stage.ts';

describe('limits', function () {
  this.timeout(60_000);
  const open: Stage[] = [];
  const sockets: Socket[] = [];
  const limits = (change: Partial<typeof routerDefaults.limits | Record<string, number>>) => ({
    limits: { ...routerDefaults.limits, ...change },
  });
  const on = async (options: Partial<StageOptions> = {}): Promise<Stage> => {
    const made = await readyStage({ lines: say('fine'), ...options });
    open.push(made);
    return made;
  };
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    for (const made of open.splice(0)) await made.close();
  });
  const refusal = async (response: Response): Promise<readonly unknown[]> => [
    response.status,
    ((await response.json()) as Refusal).error.code,
  ];

  it('turns requests away that find the queue full, with 429 and when to come again', async () => {
    const { router, slm } = await on({ config: limits({ maxConcurrentRequests: 1, maxQueuedRequests: 1 }) });
    const waiting: (() => void)[] = [];
    slm.behaviour.intercept = (call, response) => {
      if (call.sampling_params.max_new_tokens < 1 || waiting.length > 0) return false;
      waiting.push(() => response.destroy());
      return true;
    };
    const first = post(router.url, ask);
    await until(() => waiting.length === 1, 'the first is at work');
    const client = new AbortController();
    const left = post(router.url, ask, { signal: client.signal });
    await until(() => router.status().inFlight === 2, 'the second waits');
    const third = await post(router.url, ask);
    assert.match(third.headers.get('retry-after') ?? '', /^[1-9]\d?$/);
    assert.deepEqual(await refusal(third), [429, 'too_many_requests']);
    client.abort();
    await assert.rejects(left);
    await until(() => router.status().inFlight === 1, 'its place in the queue is free');
    const second = post(router.url, ask);
    // Its call is tried again.
    waiting[0]!();
    assert.deepEqual([(await first).status, (await second).status], [200, 200]);
  });

  it('ends an answer that takes too long: with 408, or with the last event of its stream', async () => {
    const { router, slm } = await on({ lines: say('x'.repeat(2000)), slm: { stepMs: 20 }, config: limits({ requestTimeoutSeconds: 1 }) });
    const started = Date.now();
    assert.deepEqual(await refusal(await post(router.url, ask)), [408, 'request_timeout']);
    assert.ok(Date.now() - started < 5_000);
    const events: (Chunk | '[DONE]')[] = [];
    for await (const event of chunks(await post(router.url, { ...ask, stream: true }))) events.push(event);
    const last = events.at(-1);
    assert.ok(events.length > 1 && last !== '[DONE]');
    assert.equal(last?.error?.code, 'request_timeout');
    await until(() => router.status().inFlight === 0 && slm.running === 0, 'nothing goes on');
  });

  it('takes over a body limit that changes', async () => {
    const { router, ...made } = await on();
    const body = { ...ask, user: 'x'.repeat(5_000) };
    assert.equal((await post(router.url, body)).status, 200);
    made.configure(limits({ maxBodyBytes: 1_000 }));
    assert.deepEqual(await refusal(await post(router.url, body)), [413, 'request_too_large']);
    assert.equal((await post(router.url, ask)).status, 200);
  });

  it('reads a compressed body, and bounds what comes out of it', async () => {
    const { router } = await on();
    const headers = { 'content-encoding': 'gzip' };
    assert.equal((await post(router.url, gzipSync(JSON.stringify(ask)), { headers })).status, 200);
    const bomb = gzipSync(JSON.stringify({ ...ask, user: 'x'.repeat(9 * 2 ** 20) }));
    assert.ok(bomb.length < 20_000);
    assert.deepEqual(await refusal(await post(router.url, bomb, { headers })), [413, 'request_too_large']);
    assert.deepEqual(await refusal(await post(router.url, 'no gzip', { headers })), [400, 'invalid_json']);
    assert.deepEqual(await refusal(await post(router.url, ask, { headers: { 'content-encoding': 'rot13' } })), [400, 'invalid_json']);
  });

  it('waits neither for slow headers nor for a slow body, and answers 408', async () => {
    const { router } = await on({ router: { client: { timeouts: { headersTimeoutMs: 400, requestTimeoutMs: 800 } } } });
    const says = async (text: string): Promise<() => string> => {
      const socket = connect(Number(new URL(router.url).port), '127.0.0.1').on('error', () => undefined);
      sockets.push(socket);
      await once(socket, 'connect');
      let heard = '';
      socket.on('data', (bytes: Buffer) => (heard += bytes.toString()));
      socket.write(text);
      // A byte now and then does not help.
      const timer = setInterval(() => socket.writable && socket.write('x'), 100);
      socket.once('close', () => clearInterval(timer));
      return () => heard;
    };
    const slow = [
      await says('POST /v1/chat/completions HTTP/1.1\r\nhost: me\r\nx-a: '),
      await says('POST /v1/chat/completions HTTP/1.1\r\nhost: me\r\ncontent-length: 1000\r\n\r\n'),
    ];
    for (const heard of slow) {
      await until(() => heard().includes('}}'), 'the answer');
      assert.match(heard(), /^HTTP\/1\.1 408 /);
      assert.match(heard(), /"code":"request_timeout"/);
    }
    await until(() => sockets.every(({ destroyed }) => destroyed), 'the connections are closed');
    await until(() => router.status().inFlight === 0, 'nothing is in flight');
    assert.equal((await complete(router.url)).choices[0]?.message.content, 'fine');
  });

  it('answers what is no HTTP, or has too large headers, in the same shape', async () => {
    const { router } = await on();
    const heard = async (text: string): Promise<string> => {
      const socket = connect(Number(new URL(router.url).port), '127.0.0.1').on('error', () => undefined);
      sockets.push(socket);
      let all = '';
      socket.on('data', (bytes: Buffer) => (all += bytes.toString()));
      socket.write(text);
      await once(socket, 'close');
      return all;
    };
    assert.match(await heard('what is this\r\n\r\n'), /^HTTP\/1\.1 400 [^]*"code":"invalid_http"/);
    assert.match(
      await heard(`GET / HTTP/1.1\r\nhost: me\r\nx-a: ${'x'.repeat(20_000)}\r\n\r\n`),
      /^HTTP\/1\.1 431 [^]*"code":"headers_too_large"/,
    );
  });

  it('prepares large requests without holding up the others', async () => {
    const { router } = await on();
    // Starts the thread.
    await post(router.url, { ...ask, user: 'x'.repeat(5_000) });
    const large = Buffer.from(JSON.stringify({ ...ask, messages: [{ role: 'user', content: 'a b 1 2\n'.repeat(80_000) }] }));
    // CPU time of this thread, the event loop's: the machine's other load does not count.
    const before = process.threadCpuUsage();
    const answers = await Promise.all(Array.from({ length: 4 }, () => post(router.url, large)));
    const { user, system } = process.threadCpuUsage(before);
    for (const answer of answers) assert.deepEqual(await refusal(answer), [400, 'context_length_exceeded']);
    const [cpuMs, tokenizingMs] = [(user + system) / 1000, 4 * 1000];
    assert.ok(cpuMs < tokenizingMs / 10, `the event loop's thread worked ${cpuMs} ms on them`);
  });
});
