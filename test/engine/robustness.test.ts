import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { startEngine, type RunningEngine } from '../../src/engine/server.ts';
import { bounded } from '../scale.ts';

const modelPath = join(import.meta.dirname, '../conformance/models/slm');
const deadlineMs = 20_000;

interface Route {
  readonly path: string;
  /** A request that is answered 200. */
  readonly valid: Readonly<Record<string, unknown>>;
  readonly fields: readonly string[];
}

const sampling = [
  ...[
    'temperature',
    'top_p',
    'top_k',
    'min_p',
    'frequency_penalty',
    'presence_penalty',
    'repetition_penalty',
    'stop',
    'stop_token_ids',
    'n',
  ],
  ...['ignore_eos', 'skip_special_tokens', 'no_stop_trim', 'logit_bias', 'regex', 'ebnf', 'stop_regex'],
];
const nativeSampling = [...sampling, 'max_new_tokens', 'min_new_tokens', 'sampling_seed', 'stream_interval', 'beam_width', 'watermark'];
const openAi = [
  ...[...sampling, 'model', 'stream', 'stream_options', 'return_hidden_states', 'max_tokens', 'min_tokens', 'seed', 'response_format'],
  ...['rid', 'logprobs'],
];
const routes: readonly Route[] = [
  {
    path: '/generate',
    valid: { text: 'hello', sampling_params: { temperature: 0, max_new_tokens: 2 }, rid: 'mine' },
    fields: [
      ...['text', 'input_ids', 'input_embeds', 'sampling_params', 'rid', 'stream', 'return_logprob', 'logprob_start_len'],
      ...['top_logprobs_num', 'token_ids_logprob', 'return_hidden_states', 'return_text_in_logprobs', 'return_prompt_token_ids'],
      ...['lora_path', 'custom_logit_processor', 'session_params', ...nativeSampling.map((name) => `sampling_params.${name}`)],
    ],
  },
  {
    path: '/v1/chat/completions',
    valid: { model: 'tiny', messages: [{ role: 'user', content: 'hello' }], temperature: 0, max_tokens: 2 },
    fields: [...openAi, 'messages', 'messages.0', 'messages.0.role', 'messages.0.content', 'top_logprobs', 'tools', 'chat_template_kwargs'],
  },
  {
    path: '/v1/completions',
    valid: { model: 'tiny', prompt: 'hello', temperature: 0, max_tokens: 2 },
    fields: [...openAi, 'prompt', 'echo'],
  },
  { path: '/abort_request', valid: { rid: 'nobody' }, fields: ['rid', 'abort_all'] },
  { path: '/tokenize', valid: { prompt: 'hello' }, fields: ['prompt', 'add_special_tokens'] },
  { path: '/detokenize', valid: { tokens: [1, 2] }, fields: ['tokens', 'skip_special_tokens'] },
];
const knownPaths = [
  ...routes.map(({ path }) => path),
  '/flush_cache',
  '/model_info',
  '/server_info',
  '/ready',
  '/ping',
  '/v1/loads',
  '/v1/models',
];

/** A JSON text nested so deep that walking it by recursion overflows the stack. */
const abyss = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
/** JSON texts of values that are wrong nearly everywhere. */
const value: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    ...[
      'null',
      'true',
      'false',
      '""',
      '"x"',
      '"constructor"',
      '"\\ud800"',
      '{}',
      '[]',
      '[[]]',
      '[{}]',
      '[null]',
      '[1,"a"]',
      '[[1],2]',
      '[1,[2]]',
    ],
    ...['0', '-1', '-0', '1.5', '2', '3', '512', '1e9', '-1e9', '9007199254740993', '1e300', '1e999', '-1e999', '4294967297'],
    ...[
      '{"toString":1}',
      '{"__proto__":{"a":1}}',
      '{"1":"x"}',
      '{"1":1e999}',
      '{"constructor":1}',
      '{"type":"json_object"}',
      abyss,
      `{"type":${abyss}}`,
    ],
  ),
  fc.jsonValue({ maxDepth: 3 }).map((json) => JSON.stringify(json)),
);

/** The JSON of `body` with the value at a dotted path replaced by a JSON text. */
function withValue(body: Readonly<Record<string, unknown>>, changes: readonly (readonly [field: string, text: string])[]): string {
  const copy = structuredClone(body);
  for (const [index, [field]] of changes.entries()) {
    const keys = field.split('.');
    const last = keys.pop()!;
    const parent = keys.reduce<unknown>(
      (at, key) => (typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[key] : at),
      copy,
    );
    if (typeof parent === 'object' && parent !== null) (parent as Record<string, unknown>)[last] = `\u0001${index}`;
  }
  return JSON.stringify(copy).replaceAll(/"\\u0001(\d)"/g, (_, index: string) => changes[Number(index)]![1]);
}

const wrongRequest = fc.constantFrom(...routes).chain((route) =>
  fc.record({
    path: fc.constant(route.path),
    body: fc
      .array(fc.tuple(fc.constantFrom(...route.fields), value), { minLength: 1, maxLength: 3 })
      .map((all) => withValue(route.valid, all)),
  }),
);
const oddText = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.constantFrom('%zz', '%', '%00', '..', '//', '?', '#', '{}', '__proto__', 'constructor'),
);
const oddPath = fc
  .tuple(
    fc.constantFrom('', '/', '//', '/v1/models/', '/v1/', '/generate/', '/generate?', 'http://x:y/', '*'),
    fc.array(oddText, { maxLength: 3 }),
  )
  // what no request line can hold
  .map(([start, parts]) => (start + parts.join('/')).replaceAll(/[^\x21-\x7e]/g, '') || '/');

describe('the CPU engine before bad requests', function () {
  this.timeout(120_000);
  const log: unknown[] = [];
  const deaths: unknown[] = [];
  let engine: RunningEngine;
  let expected: unknown;

  const post = async (path: string, body: string): Promise<{ status: number; text: string }> => {
    const response = await fetch(engine.url + path, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
      signal: AbortSignal.timeout(deadlineMs),
    });
    return { status: response.status, text: await response.text() };
  };
  const greedy = async (): Promise<unknown> => {
    const { status, text } = await post(
      '/generate',
      JSON.stringify({ input_ids: [5, 6, 7], sampling_params: { temperature: 0, max_new_tokens: 8 } }),
    );
    assert.equal(status, 200, text);
    return (JSON.parse(text) as { output_ids: unknown }).output_ids;
  };
  /** Writes bytes on a connection of their own and returns the first bytes of the answer, or what came before the connection ended. */
  const raw = async (bytes: string, leave: 'after writing' | 'after the answer began'): Promise<string> => {
    const socket = connect(Number(new URL(engine.url).port), '127.0.0.1');
    socket.setTimeout(deadlineMs, () => socket.destroy(new Error(`no answer to ${JSON.stringify(bytes.slice(0, 200))}`)));
    await once(socket, 'connect');
    await new Promise((resolve) => socket.write(bytes, resolve));
    let answer = '';
    if (leave === 'after the answer began') {
      for await (const chunk of socket as AsyncIterable<Buffer>) {
        answer = chunk.toString();
        break;
      }
    }
    socket.destroy();
    return answer;
  };
  const metric = async (name: string): Promise<[labels: string, value: number][]> => {
    const text = await (await fetch(`${engine.url}/metrics`)).text();
    return Array.from(text.matchAll(new RegExp(`^sglang:${name}\\{(.*)\\} (\\S+)$`, 'gm')), ([, labels, count]) => [
      labels!,
      Number(count),
    ]);
  };
  /** Waits until nothing is being computed and no request but the asking one is open. */
  const settled = async (): Promise<void> => {
    const end = Date.now() + deadlineMs;
    for (;;) {
      const open = (await metric('http_requests_active')).reduce((sum, [, count]) => sum + count, 0);
      const running = (await metric('num_running_reqs')).concat(await metric('num_queue_reqs')).reduce((sum, [, count]) => sum + count, 0);
      if (open === 1 && running === 0) return;
      assert.ok(Date.now() < end, `${open} requests are open and ${running} are computed`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };

  before(async () => {
    engine = await startEngine(
      { modelPath, servedModelName: 'tiny', port: 0, contextLength: 64, maxTotalTokens: 512, metrics: true, healthGeneration: false },
      (error) => deaths.push(error),
      (fields) => log.push(fields),
    );
    expected = await greedy();
  });
  after(() => engine.close());
  afterEach('it still answers as before', async () => {
    assert.deepEqual(await greedy(), expected);
    assert.deepEqual(log, []);
    assert.deepEqual(deaths, []);
  });

  it('answers requests that are right', async () => {
    for (const { path, valid } of routes) assert.equal((await post(path, JSON.stringify(valid))).status, 200, path);
  });

  it('refuses values that are worse than a wrong type', async () => {
    const wrong: readonly (readonly [path: string, body: string])[] = [
      ['/v1/completions', '{"prompt":{}}'],
      ['/v1/completions', '{"prompt":"a","n":1e9}'],
      ['/v1/chat/completions', '{"messages":[{"role":"user","content":"a"}],"n":1000000000}'],
      ['/generate', '{"text":"a","sampling_params":{"n":1e9}}'],
      ['/generate', '{"text":"a","sampling_params":{"temperature":1e999}}'],
      ['/generate', '{"input_ids":[4294967297]}'],
      ['/generate', '{"text":"a"'],
      ['/generate', abyss],
      ['/v1/completions', `{"prompt":"a","response_format":{"type":${abyss}}}`],
      ['/v1/completions', '{"prompt":"a","logit_bias":{"1":"x"}}'],
      ['/generate', '{"text":"a","sampling_params":{"logit_bias":{"1":1e999}}}'],
      ['/generate', ''],
    ];
    for (const [path, body] of wrong) {
      const { status, text } = await post(path, body);
      assert.equal(status, 400, `${path} ${body.slice(0, 100)}: ${text.slice(0, 200)}`);
      assert.match(text, /"(message|error)":/);
    }
  });

  it('answers wrong values of any field with a refusal or an answer, never with a fault', async () => {
    await fc.assert(
      fc.asyncProperty(wrongRequest, async ({ path, body }) => {
        const { status, text } = await post(path, body);
        assert.ok(status === 200 || (status >= 400 && status < 500), `${status}: ${text.slice(0, 300)}`);
      }),
      { ...bounded(3000, 7000), seed: 1 },
    );
  });

  it('refuses bodies that are no JSON', async () => {
    const noJson = fc.string({ maxLength: 40, unit: 'binary' }).filter((text) => {
      try {
        JSON.parse(text);
        return false;
      } catch {
        return true;
      }
    });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...routes), noJson, async ({ path }, body) => {
        assert.equal((await post(path, body)).status, 400);
      }),
      { ...bounded(100, 2000), seed: 2 },
    );
  });

  it('answers odd paths with 404 or 405', async () => {
    const cases = ['//', '/v1/models/%zz', '/%zz', '*', 'http://x:y/', '/generate/../x'];
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('GET', 'POST', 'DELETE', 'OPTIONS'), oddPath, async (method, path) => {
        fc.pre(!knownPaths.includes(path.split('?')[0]!) && path !== '/metrics');
        const answer = await raw(`${method} ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`, 'after the answer began');
        // 400 is the HTTP parser's, of a target it cannot read
        assert.match(answer, /^HTTP\/1\.1 40[045] /);
      }),
      { ...bounded(300, 3000), seed: 3, examples: cases.map((path) => ['GET', path] as [string, string]) },
    );
  });

  it('counts paths that do not exist under one label', async () => {
    await fetch(`${engine.url}/nowhere`);
    await fetch(`${engine.url}/v1/models/nothing`);
    const labels = (await metric('http_requests_total')).map(([label]) => /endpoint="([^"]*)"/.exec(label)![1]!);
    const expectedLabels = new Set([...knownPaths, '/metrics', '/v1/models/{model}', 'other']);
    assert.deepEqual(
      labels.filter((label) => !expectedLabels.has(label)),
      [],
    );
    assert.ok(labels.includes('other') && labels.includes('/v1/models/{model}'));
  });

  it('goes on when clients leave in the middle of their request', async () => {
    for (const { path, valid } of routes) {
      const body = JSON.stringify(valid);
      const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n`;
      for (const cut of [0, 1, body.length - 1])
        await raw(`${head}Content-Length: ${body.length}\r\n\r\n${body.slice(0, cut)}`, 'after writing');
      await raw(`${head}Transfer-Encoding: chunked\r\n\r\n5\r\n{"tex`, 'after writing');
      await raw(`${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, 'after the answer began');
    }
    await settled();
  });

  it('answers 500, logs the error and goes on when a request fails for a reason of ours', async () => {
    const usual = Object.getOwnPropertyDescriptor(Date.prototype, 'toISOString')!;
    Date.prototype.toISOString = () => {
      throw new Error('no calendar');
    };
    try {
      const response = await fetch(`${engine.url}/v1/loads`);
      assert.equal(response.status, 500);
      const error = { object: 'error', message: 'Internal server error', type: 'InternalServerError', param: null, code: 500 };
      assert.deepEqual(await response.json(), error);
    } finally {
      Object.defineProperty(Date.prototype, 'toISOString', usual);
    }
    const [entry, ...more] = log.splice(0) as { url: string; error: string }[];
    assert.equal(entry?.url, '/v1/loads');
    assert.match(entry.error, /^Error: no calendar\n/);
    assert.deepEqual(more, []);
  });

  it('ends what it computes for clients that leave before or during the answer', async () => {
    const limits = { temperature: 0, max_new_tokens: 50, ignore_eos: true };
    const bodies: readonly (readonly [path: string, body: unknown])[] = [
      ['/generate', { text: ['a', 'b'], stream: true, sampling_params: limits }],
      ['/generate', { text: 'a', stream: false, sampling_params: { ...limits, n: 3 } }],
      ['/v1/chat/completions', { messages: [{ role: 'user', content: 'a' }], stream: true, max_tokens: 40, ignore_eos: true }],
      ['/v1/completions', { prompt: 'a', stream: true, max_tokens: 50, ignore_eos: true, n: 2, logprobs: 3 }],
    ];
    for (const [path, content] of bodies) {
      const body = JSON.stringify(content);
      const request = `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      await raw(request, 'after writing');
      if (body.includes('"stream":true')) assert.match(await raw(request, 'after the answer began'), /^HTTP\/1\.1 200 /);
    }
    await raw('GET /health_generate HTTP/1.1\r\nHost: x\r\n\r\n', 'after writing');
    await settled();
  });
});
