import assert from 'node:assert/strict';
import { routerDefaults } from '../../src/api/router-config.ts';
import { routerStatusSchema } from '../../src/api/router-status.ts';
import { ask, complete, post, streamed, type Refusal } from './chat-client.ts';
import { readyStage, say, type Stage } from './stage.ts';

describe('requests that are refused', function () {
  this.timeout(60_000);
  let made: Stage;
  before(async () => {
    made = await readyStage({
      lines: say('fine'),
      slm: { contextLength: 200 },
      config: { limits: { ...routerDefaults.limits, maxBodyBytes: 20_000 } },
    });
  });
  after(() => made.close());

  const refused = async (body: unknown): Promise<{ status: number; code: string; param: string | null; message: string }> => {
    const response = await post(made.router.url, body);
    const { error } = (await response.json()) as Refusal;
    assert.equal(error.type, response.status < 500 ? 'invalid_request_error' : 'server_error');
    return { status: response.status, code: error.code, param: error.param, message: error.message };
  };

  const wrong: readonly [what: string, change: object, status: number, code: string, param: string | null][] = [
    ['an unknown model', { model: 'gpt-9' }, 404, 'model_not_found', 'model'],
    ['no model', { model: undefined }, 400, 'invalid_value', 'model'],
    ['no messages', { messages: undefined }, 400, 'invalid_value', 'messages'],
    ['an empty list of messages', { messages: [] }, 400, 'invalid_value', 'messages'],
    ['a role nobody plays', { messages: [{ role: 'king', content: 'x' }] }, 400, 'invalid_value', 'messages.0.role'],
    ['content that is a number', { messages: [{ role: 'user', content: 5 }] }, 400, 'invalid_value', 'messages.0.content'],
    [
      'an image',
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] },
      400,
      'invalid_value',
      'messages.0.content',
    ],
    ['messages the chat template refuses', { messages: [{ role: 'user', content: 'refuse me' }] }, 400, 'invalid_value', 'messages'],
    ['a prompt past the context', { messages: [{ role: 'user', content: 'x'.repeat(300) }] }, 400, 'context_length_exceeded', 'messages'],
    ['max_tokens 0', { max_tokens: 0 }, 400, 'invalid_value', 'max_tokens'],
    ['max_tokens below 0', { max_tokens: -1 }, 400, 'invalid_value', 'max_tokens'],
    ['max_tokens of one and a half', { max_completion_tokens: 1.5 }, 400, 'invalid_value', 'max_completion_tokens'],
    ['an empty stop string', { stop: '' }, 400, 'invalid_value', 'stop'],
    ['a stream that is a word', { stream: 'yes' }, 400, 'invalid_value', 'stream'],
    ['a temperature out of range', { temperature: 9 }, 400, 'invalid_value', 'temperature'],
    ['more choices than are allowed', { n: 9 }, 400, 'invalid_value', 'n'],
    ['no choice', { n: 0 }, 400, 'invalid_value', 'n'],
    ['a top_p of 0', { temperature: 1, top_p: 0 }, 400, 'invalid_value', 'top_p'],
    ['a top_p above 1', { top_p: 1.5 }, 400, 'invalid_value', 'top_p'],
    ['a seed of one and a half', { seed: 1.5 }, 400, 'invalid_value', 'seed'],
    ['a min_p', { min_p: 0.1 }, 400, 'unsupported_parameter', 'min_p'],
    ['a regular expression', { regex: 'a+' }, 400, 'unsupported_parameter', 'regex'],
    ['end tokens of its own', { stop_token_ids: [5] }, 400, 'unsupported_parameter', 'stop_token_ids'],
    ['tools', { tools: [{ type: 'function', function: { name: 'f' } }] }, 400, 'unsupported_parameter', 'tools'],
    ['a response format', { response_format: { type: 'json_object' } }, 400, 'unsupported_parameter', 'response_format'],
    ['a logit bias', { logit_bias: { 5: 100 } }, 400, 'unsupported_parameter', 'logit_bias'],
    ['a presence penalty', { presence_penalty: 1 }, 400, 'unsupported_parameter', 'presence_penalty'],
    ['a frequency penalty', { frequency_penalty: -0.5 }, 400, 'unsupported_parameter', 'frequency_penalty'],
    ['a repetition penalty', { repetition_penalty: 1.1 }, 400, 'unsupported_parameter', 'repetition_penalty'],
    ['top_logprobs without logprobs', { top_logprobs: 2 }, 400, 'invalid_value', 'top_logprobs'],
    ['more than 20 top_logprobs', { logprobs: true, top_logprobs: 21 }, 400, 'invalid_value', 'top_logprobs'],
    ['17 stop strings', { stop: Array.from({ length: 17 }, (_, index) => `s${index}`) }, 400, 'invalid_value', 'stop'],
    ['a strategy nobody knows', { r2r: { strategy: 'dice' } }, 400, 'invalid_value', 'r2r.strategy'],
    ['a threshold below 0', { r2r: { threshold: -1 } }, 400, 'invalid_value', 'r2r.threshold'],
    ['a threshold for a strategy without one', { r2r: { strategy: 'llm', threshold: 1 } }, 400, 'invalid_value', 'r2r.threshold'],
  ];
  for (const [what, change, status, code, param] of wrong) {
    it(`answers ${what} with ${status} ${code}, streaming or not`, async () => {
      for (const stream of [false, true]) {
        const refusal = await refused({ ...ask, stream, ...change });
        assert.deepEqual({ ...refusal, message: '' }, { status, code, param, message: '' });
        assert.ok(refusal.message.length > 10);
      }
    });
  }

  it('answers a body that is no JSON object with 400, one that is too large with 413', async () => {
    for (const body of ['{"model": "pair", ', '', '[1]', '"x"', 'null']) {
      const { status, code } = await refused(body);
      assert.deepEqual([status, ['invalid_json', 'invalid_value'].includes(code)], [400, true], body);
    }
    const { status, code } = await refused({ ...ask, user: 'x'.repeat(30_000) });
    assert.deepEqual([status, code], [413, 'request_too_large']);
  });

  it('answers other paths with 404, other methods with 405', async () => {
    for (const path of ['/', '/v1/nothing', '/metrics', '/r2r/status'])
      assert.equal((await fetch(made.router.url + path, { method: 'POST' })).status, 404, path);
    const response = await fetch(`${made.router.url}/v1/chat/completions`);
    assert.deepEqual([response.status, response.headers.get('allow')], [405, 'POST']);
    assert.equal(((await response.json()) as Refusal).error.code, 'method_not_allowed');
  });

  it('answers a path whose % escapes are broken with 404, naming it', async () => {
    const response = await fetch(`${made.router.url}/v1/models/%zz`);
    const { error } = (await response.json()) as Refusal;
    assert.deepEqual([response.status, error.code], [404, 'not_found']);
    assert.match(error.message, /\/v1\/models\/%zz/);
  });

  it('leaves nothing in flight and the engines alive', async () => {
    assert.equal(made.router.status().inFlight, 0);
    assert.equal(made.slm.died, undefined);
    assert.equal((await complete(made.router.url)).choices[0]?.message.content, 'fine');
  });

  it('ignores fields it does not know and neutral values of those it cannot serve', async () => {
    const answer = await complete(made.router.url, {
      surprise: { deep: [1] },
      tools: [],
      tool_choice: 'none',
      response_format: { type: 'text' },
      logit_bias: {},
      presence_penalty: 0,
      temperature: 0,
      top_p: 0.9,
      seed: 4,
      n: 1,
      logprobs: false,
      stop: null,
      max_tokens: null,
      user: 'me',
    });
    assert.equal(answer.choices[0]?.message.content, 'fine');
  });

  it('takes text in parts and the developer role', async () => {
    const messages = [
      { role: 'developer', content: 'be brief' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
    ];
    const { usage } = await complete(made.router.url, { messages });
    const rendered = '.system\nbe brief.\n.user\nab.\n.assistant\n';
    assert.equal(usage.prompt_tokens, rendered.length);
  });

  it("hands back a request's id, or makes one", async () => {
    const mine = await post(made.router.url, ask, { headers: { 'x-request-id': 'mine-1' } });
    assert.equal(mine.headers.get('x-request-id'), 'mine-1');
    assert.equal(((await mine.json()) as { id: string }).id, 'chatcmpl-mine-1');
    const made_ = await post(made.router.url, 'no JSON', { headers: { 'x-request-id': 'bad id!' } });
    assert.match(made_.headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/);
  });
});

describe('requests that are too large to be looked at', function () {
  this.timeout(60_000);
  let made: Stage;
  before(async () => {
    made = await readyStage({ lines: say('fine') });
  });
  after(() => made.close());
  const refusal = async (messages: readonly object[]): Promise<Refusal['error']> => {
    const response = await post(made.router.url, { ...ask, messages });
    assert.equal(response.status, 400);
    return ((await response.json()) as Refusal).error;
  };

  it('are refused by their bytes, before a text that cannot fit the context is tokenised', async () => {
    const started = Date.now();
    const { code, param, message } = await refusal([{ role: 'user', content: 'Hello '.repeat(1_300_000) }]);
    assert.deepEqual([code, param], ['context_length_exceeded', 'messages']);
    assert.match(message, /78000\d\d bytes/);
    assert.ok(Date.now() - started < 5_000, 'tokenising would take longer');
  });

  it('are refused by the number of their messages, naming the field', async () => {
    const messages = Array.from({ length: 10_001 }, () => ({ role: 'user', content: '' }));
    const { code, param, message } = await refusal(messages);
    assert.deepEqual([code, param], ['invalid_value', 'messages']);
    assert.match(message, /10000/);
    assert.equal((await refusal(messages.slice(1))).code, 'context_length_exceeded', 'one fewer is looked at');
  });
});

describe('metrics and status', function () {
  this.timeout(60_000);
  it('count tokens, blocks, calls and requests, and pass on the load of the LLM replicas', async () => {
    const lines = say('abcdefgh').map((line, index) => (index === 3 ? { ...line, unsure: true } : line));
    const made = await readyStage({ lines, llms: 2 });
    try {
      await complete(made.router.url);
      await streamed(made.router.url);
      await post(made.router.url, '{');
      const scrape = async (): Promise<string> => (await fetch(`${made.router.adminUrl}/metrics`)).text();
      let page = await scrape();
      const deadline = Date.now() + 10_000;
      while (!page.includes('r2r_llm_endpoint_kv_usage{') && Date.now() < deadline) page = await scrape();
      for (const line of [
        'r2r_tokens_total{source="slm"} 16',
        'r2r_tokens_total{source="llm"} 2',
        'r2r_tokens_total{source="fallback"} 0',
        `r2r_llm_ratio ${2 / 18}`,
        'r2r_requests_total{code="200"} 2',
        'r2r_requests_total{code="400"} 1',
        'r2r_requests_in_flight 0',
        'r2r_llm_calls_total{kind="prime",outcome="ok"} 2',
        'r2r_llm_calls_total{kind="token",outcome="ok"} 2',
        'r2r_llm_call_duration_seconds_count{kind="token"} 2',
      ])
        assert.ok(page.split('\n').includes(line), `${line}\n--\n${page}`);
      const url = made.llms[0]!.url;
      for (const [name, value] of [
        ['available', 1],
        ['draining', 0],
        ['in_flight', 0],
        ['queued_requests', 3],
        ['kv_usage', 0.25],
      ] as const)
        assert.ok(page.includes(`r2r_llm_endpoint_${name}{endpoint="${url}",pod_uid="pod-0"} ${value}`), `${name}\n--\n${page}`);

      const status = routerStatusSchema.parse(await (await fetch(`${made.router.adminUrl}/r2r/status`)).json());
      assert.deepEqual(status.tokensTotal, { slm: 16, llm: 2, fallback: 0 });
      assert.deepEqual(status.window.tokens, status.tokensTotal);
      assert.deepEqual(status.window.requests, { total: 2, failed: 0 }, 'the request that was refused does not count');
      assert.equal(status.llmEndpoints.length, 2);
      assert.match(status.configDigest, /^[0-9a-f]{64}$/);
    } finally {
      await made.close();
    }
  });
});
