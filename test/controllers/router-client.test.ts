import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { routerClient } from '../../src/controllers/router-client.ts';
import { endless, podServer } from './pod-server.ts';

interface Answer {
  readonly status: number;
  readonly body: unknown;
}
/** Answers by `METHOD path`; everything else is 404 with a page, as Express answers it. */
type Answers = Readonly<Record<string, Answer>>;

const seen: string[] = [];
const servers: Server[] = [];

async function listening(answers: Answers): Promise<number> {
  const server = createServer((request, response) => {
    void (async () => {
      let body = '';
      for await (const part of request) body += String(part);
      const route = `${request.method ?? ''} ${request.url ?? ''}`;
      seen.push(`${route} ${body}`);
      const answer = answers[route];
      response.statusCode = answer?.status ?? 404;
      response.end(answer ? JSON.stringify(answer.body) : '<!DOCTYPE html>Cannot POST');
    })();
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function closeServers(): void {
  for (const server of servers.splice(0)) server.close();
}

const none = { slm: 0, llm: 0, fallback: 0 };

describe("the operator's probe request", () => {
  const signal = new AbortController().signal;

  beforeEach(() => seen.splice(0));
  afterEach(closeServers);

  const probe = async (viaLLM: boolean, admin: Answers, api: Answers = {}): Promise<string | undefined> => {
    const client = routerClient({ statusMs: 2_000, probeMs: 2_000 }, { admin: await listening(admin), router: await listening(api) });
    try {
      return await client.probe('127.0.0.1', 'tiny', viaLLM, signal);
    } finally {
      await client.close();
    }
  };
  const answered = (status: number, body: object): Answers => ({ 'POST /r2r/probe': { status, body } });

  it('goes to the admin port, where neither API keys nor TLS stand in its way', async () => {
    assert.equal(await probe(true, answered(200, { ok: true, sources: { ...none, llm: 1 } })), undefined);
    assert.deepEqual(seen, ['POST /r2r/probe {"viaLLM":true}']);
  });

  it('is answered rightly by the SLM alone when the LLM is scaled to zero', async () => {
    assert.equal(await probe(false, answered(200, { ok: true, sources: { ...none, slm: 1 } })), undefined);
  });

  const wrong: readonly (readonly [string, boolean, Answers, RegExp])[] = [
    ['without the LLM', true, answered(200, { ok: true, sources: { ...none, fallback: 1 } }), /answered without the LLM$/],
    ['with a refusal', true, answered(503, { ok: false, message: 'the SLM is away' }), /answered with 503: the SLM is away$/],
    ['with something else', true, answered(200, { hello: 'world' }), /answered with 200: {"hello":"world"}$/],
    ['with an error of its own', true, answered(500, 'oops' as unknown as object), /answered with 500: "oops"$/],
  ];
  for (const [how, viaLLM, admin, message] of wrong) {
    it(`fails when it is answered ${how}, and says so`, async () => {
      assert.match((await probe(viaLLM, admin)) ?? '', message);
    });
  }

  it('is a chat request to a router of the first version, which has no such route', async () => {
    const chat = (sources: object): Answers => ({ 'POST /v1/chat/completions': { status: 200, body: { r2r: { token_counts: sources } } } });
    assert.equal(await probe(true, {}, chat({ ...none, llm: 1 })), undefined);
    assert.match((await probe(true, {}, chat({ ...none, slm: 1 }))) ?? '', /without the LLM/);
    assert.match((await probe(true, {})) ?? '', /answered with 404/);
  });

  it('says what stands between operator and router', async () => {
    const client = routerClient({ statusMs: 200, probeMs: 200 }, { admin: 1, router: 1 });
    assert.match((await client.probe('127.0.0.1', 'tiny', true, signal)) ?? '', /^the probe request failed: .*ECONNREFUSED/);
    assert.equal(await client.status('127.0.0.1', signal), undefined);
    await client.close();
  });

  it('is not the last word when the reconcile is called off', async () => {
    const client = routerClient({ statusMs: 200, probeMs: 200 }, { admin: 1, router: 1 });
    await assert.rejects(client.probe('127.0.0.1', 'tiny', true, AbortSignal.abort(new Error('stopping'))), /stopping/);
    await client.close();
  });
});

describe('the measurement of an LLM replica', () => {
  afterEach(closeServers);

  const outcomes: readonly (readonly [string, Answers, number | undefined])[] = [
    ['gives its figure', { 'POST /r2r/benchmark': { status: 200, body: { callsPerSecond: 41.5 } } }, 41.5],
    ['gives none when a client came', { 'POST /r2r/benchmark': { status: 409, body: { message: 'clients came' } } }, undefined],
    ['gives none at a router that has no such route', {}, undefined],
  ];
  for (const [what, answers, expected] of outcomes) {
    it(what, async () => {
      const admin = await listening(answers);
      const client = routerClient(undefined, { admin, router: admin });
      const request = { seconds: 20, latencyTargetMs: 200 };
      assert.equal(await client.benchmark?.('127.0.0.1', request, new AbortController().signal), expected);
      await client.close();
    });
  }
});

describe("a router's status", () => {
  afterEach(closeServers);

  it('is understood from a router of the first version, too', async () => {
    const body = {
      configDigest: 'd',
      strategy: 'entropy',
      threshold: 0.5,
      waitingFor: [],
      inFlight: 0,
      tokensTotal: none,
      window: { seconds: 60, tokens: none, tokensPerSecond: 0 },
      parameters: {},
      llmEndpoints: [],
    };
    const admin = await listening({ 'GET /r2r/status': { status: 200, body } });
    const client = routerClient(undefined, { admin, router: admin });
    assert.deepEqual(await client.status('127.0.0.1', new AbortController().signal), { ...body, alarms: [] });
    await client.close();
  });
});

describe('a router that sends more than the operator reads', () => {
  const { signal } = new AbortController();

  for (const [what, bytes] of [
    ['64 MB', 64 * 2 ** 20],
    ['an answer without an end', Infinity],
  ] as const) {
    it(`is hung up on: ${what}`, async () => {
      for (const ask of ['status', 'probe'] as const) {
        const pod = await podServer(endless(bytes, '{}'));
        const client = routerClient({ statusMs: 30_000, probeMs: 30_000 }, { admin: pod.port, router: pod.port });
        try {
          if (ask === 'status') assert.equal(await client.status('127.0.0.1', signal), undefined);
          else
            assert.equal(
              await client.probe('127.0.0.1', 'tiny', true, signal),
              'the probe request failed: the answer is longer than 1024 KiB',
            );
          await pod.hungUp;
          // what the kernel's buffers hold was sent, and not read
          assert.ok(pod.written() < 32 * 2 ** 20, `${pod.written()} bytes were sent`);
        } finally {
          await client.close();
          pod.close();
        }
      }
    });
  }
});
