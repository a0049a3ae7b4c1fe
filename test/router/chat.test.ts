import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { ask, complete, post, streamed } from './chat-client.ts';
import { vocabulary } from './model-folder.ts';
import { readyStage, say, until, type Line, type Stage } from './stage.ts';

const letter = (character: string): number => character.charCodeAt(0);
const think: Line[] = [{ id: vocabulary.openThink }, ...say('a\n\nb'), { id: vocabulary.closeThink }];

/** The SLM says "cat", unsure of its first letter, where the LLM says "b"; then an end token. */
const cat: Line[] = [{ id: letter('c'), unsure: true, llm: letter('b') }, { id: letter('a') }, { id: letter('t') }];

describe('chat completions', function () {
  this.timeout(60_000);
  const open: Stage[] = [];
  const on = async (...options: Parameters<typeof readyStage>): Promise<Stage> => {
    const made = await readyStage(...options);
    open.push(made);
    return made;
  };
  afterEach(async () => {
    for (const made of open.splice(0)) {
      assert.equal(made.slm.died, undefined, 'nothing that kills a model server was sent');
      for (const llm of made.llms) assert.equal(llm.died, undefined);
      await made.close();
    }
  });

  it('answers with the tokens of both models, OpenAI-shaped, and says how many the LLM supplied', async () => {
    const { router } = await on({ lines: cat });
    const answer = await complete(router.url, { r2r: { tokens: true } });
    assert.equal(answer.object, 'chat.completion');
    assert.equal(answer.model, 'pair');
    assert.match(answer.id, /^chatcmpl-/);
    assert.deepEqual(answer.choices, [
      { index: 0, message: { role: 'assistant', content: 'bat', refusal: null }, logprobs: null, finish_reason: 'stop' },
    ]);
    const prompt = '<|im_start|>user\nsay it<|im_end|>\n<|im_start|>assistant\n';
    const promptTokens = prompt.replaceAll(/<\|im_...(rt)?\|>/g, '.').length;
    assert.deepEqual(answer.usage, {
      prompt_tokens: promptTokens,
      completion_tokens: 4,
      total_tokens: promptTokens + 4,
      completion_tokens_details: { reasoning_tokens: 0 },
    });
    assert.equal(answer.llm_ratio, 0.25);
    assert.deepEqual(answer.r2r, {
      strategy: 'entropy',
      threshold: 1,
      token_counts: { slm: 3, llm: 1, fallback: 0 },
      degraded: false,
      tokens: [
        { id: letter('b'), text: 'b', source: 'llm' },
        { id: letter('a'), text: 'a', source: 'slm' },
        { id: letter('t'), text: 't', source: 'slm' },
        { id: vocabulary.end, text: '', source: 'slm' },
      ],
    });
  });

  it('streams role, text, reason and usage as OpenAI does, with each token and its source on request', async () => {
    const { router } = await on({ lines: cat });
    const { events, parts, content, finish, last, tokens } = await streamed(router.url, {
      stream_options: { include_usage: true },
      r2r: { tokens: true },
    });
    assert.equal(events.at(-1), '[DONE]');
    assert.deepEqual(parts[0]?.choices[0]?.delta, { role: 'assistant', content: '' });
    assert.ok(parts.every((part) => part.object === 'chat.completion.chunk'));
    assert.equal(content, 'bat');
    assert.equal(finish, 'stop');
    assert.equal(last?.llm_ratio, 0.25);
    assert.deepEqual(
      tokens.map(({ text, source }) => [text, source]),
      [
        ['b', 'llm'],
        ['a', 'slm'],
        ['t', 'slm'],
        ['', 'slm'],
      ],
    );
    assert.deepEqual(parts.at(-1)?.choices, []);
    assert.equal(parts.at(-1)?.usage?.completion_tokens, 4);
    assert.ok(
      parts.slice(0, -1).every((part) => part.usage === null),
      'every other chunk says that the usage comes later',
    );
    assert.ok(
      (await streamed(router.url)).parts.every((part) => !('usage' in part)),
      'unless nobody asked',
    );
  });

  it('routes as a single request wishes', async () => {
    const { router } = await on({ lines: cat });
    const texts = async (r2r: object): Promise<unknown> => {
      const answer = await complete(router.url, { r2r });
      return [answer.choices[0]?.message.content, answer.llm_ratio, answer.r2r?.strategy, answer.r2r?.threshold];
    };
    assert.deepEqual(await texts({ threshold: 9 }), ['cat', 0, 'entropy', 9]);
    assert.deepEqual(await texts({ threshold: 0 }), ['bat', 1, 'entropy', 0]);
    assert.deepEqual(await texts({ strategy: 'slm' }), ['cat', 0, 'slm', undefined]);
    assert.deepEqual(await texts({ strategy: 'llm' }), ['bat', 1, 'llm', undefined]);
  });

  it('gives the reasoning apart from the answer, or inline on request', async () => {
    const { router } = await on({ lines: [...think, ...say('7')] });
    const apart = await complete(router.url);
    assert.equal(apart.choices[0]?.message.content, '7');
    assert.equal(apart.choices[0].message.reasoning_content, 'a\n\nb');
    const live = await streamed(router.url);
    assert.deepEqual([live.reasoning, live.content], ['a\n\nb', '7']);
    const inline = await complete(router.url, { r2r: { inline_reasoning: true } });
    assert.equal(inline.choices[0]?.message.content, '<think>a\n\nb</think>7');
    assert.equal(inline.choices[0].message.reasoning_content, undefined);
  });

  it("takes a think tag that the template opened for the answer's", async () => {
    const { router } = await on({ lines: [...think, ...say('7')] });
    const answer = await complete(router.url, { chat_template_kwargs: { enable_thinking: true } });
    assert.deepEqual([answer.choices[0]?.message.reasoning_content, answer.choices[0]?.message.content], ['a\n\nb', '7']);
  });

  it('stops before a stop string that lies across token borders, having shown nothing of it', async () => {
    const { router } = await on({ lines: say('one two three') });
    for (const stop of ['wo t', ['nowhere', 'wo t', 'three']]) {
      const answer = await complete(router.url, { stop });
      assert.deepEqual([answer.choices[0]?.message.content, answer.choices[0]?.finish_reason], ['one t', 'stop']);
      assert.equal(answer.usage.completion_tokens, 'one two t'.length, 'tokens behind the stop string were never emitted');
      const live = await streamed(router.url, { stop });
      assert.deepEqual([live.content, live.finish], ['one t', 'stop']);
    }
  });

  it('shows at the end what was held back for a stop string that did not come', async () => {
    const { router } = await on({ lines: say('one tw') });
    const live = await streamed(router.url, { stop: 'two' });
    assert.deepEqual([live.content, live.finish], ['one tw', 'stop']);
  });

  it('looks for stop strings in the answer, not in the reasoning, unless that is inline', async () => {
    const { router } = await on({ lines: [...think, ...say('x\n\ny')] });
    const answer = await complete(router.url, { stop: '\n\n' });
    assert.deepEqual([answer.choices[0]?.message.reasoning_content, answer.choices[0]?.message.content], ['a\n\nb', 'x']);
    const inline = await complete(router.url, { stop: '\n\n', r2r: { inline_reasoning: true } });
    assert.equal(inline.choices[0]?.message.content, '<think>a');
  });

  it('streams text of several bytes a character whole', async () => {
    const text = 'Größe 漢字 👍🏽.';
    const { router } = await on({ lines: say(text) });
    const live = await streamed(router.url);
    assert.equal(live.content, text);
    assert.ok(live.parts.every((part) => !part.choices[0]?.delta.content?.includes('\uFFFD')));
    const cut = await complete(router.url, { max_tokens: 3 });
    assert.equal(cut.choices[0]?.message.content, 'Gr\uFFFD', 'only a character that will never be whole is replaced');
  });

  it('ends with reason length at max_tokens and at the end of the context', async () => {
    const { router } = await on({ lines: say('abc'.repeat(40)), slm: { contextLength: 100 } });
    for (const limit of [{ max_tokens: 5 }, { max_completion_tokens: 5 }, { max_tokens: 9, max_completion_tokens: 5 }]) {
      const { choices, usage } = await complete(router.url, limit);
      assert.deepEqual([choices[0]?.message.content, choices[0]?.finish_reason, usage.completion_tokens], ['abcab', 'length', 5]);
    }
    const { choices, usage } = await complete(router.url, { max_tokens: 5000 });
    assert.equal(choices[0]?.finish_reason, 'length');
    assert.equal(usage.total_tokens, 94, 'the server takes prompts of less than max_req_input_len');
  });

  it('keeps the conversation on one LLM replica', async () => {
    const { router, llms } = await on({ lines: cat, llms: 3 });
    const opening = [{ role: 'user', content: 'hello' }];
    for (const messages of [opening, [...opening, { role: 'assistant', content: 'bat' }, { role: 'user', content: 'more' }]])
      await complete(router.url, { messages });
    assert.equal(llms.filter(({ calls }) => calls.length > 0).length, 1, 'both turns went to one replica');
    for (let turn = 0; turn < 40; turn++) await complete(router.url, { prompt_cache_key: `conversation ${turn}` });
    assert.ok(
      llms.every(({ calls }) => calls.length > 0),
      'conversations spread over all replicas',
    );
    const before = llms.map(({ calls }) => calls.length);
    for (let turn = 0; turn < 5; turn++)
      await (await post(router.url, { ...ask, prompt_cache_key: `${turn}` }, { headers: { 'x-r2r-conversation': 'mine' } })).json();
    assert.equal(llms.filter(({ calls }, index) => calls.length > before[index]!).length, 1, 'the header wins');
  });

  it('stops generating when the client leaves, streaming or not', async () => {
    const { router, slm } = await on({ lines: say('x'.repeat(1000)), slm: { stepMs: 5 } });
    for (const stream of [true, false]) {
      const client = new AbortController();
      const calls = slm.calls.length;
      const response = post(router.url, { ...ask, stream }, { signal: client.signal });
      await until(() => slm.calls.length > calls + 2 && router.status().inFlight === 1, 'the answer is under way');
      if (stream) await (await response).body!.getReader().read();
      client.abort();
      await response.catch(() => undefined);
      await until(() => router.status().inFlight === 0 && slm.running === 0, 'nothing is in flight');
      const after = slm.calls.length;
      await complete(router.url, { max_tokens: 1 });
      assert.ok(slm.calls.length <= after + 1, 'no draft was asked for since');
    }
    const page = await (await fetch(`${router.adminUrl}/metrics`)).text();
    assert.match(page, /^r2r_requests_total\{code="499"\} 2$/m);
    assert.match(page, /^r2r_requests_in_flight 0$/m);
  });
});

describe('the official openai client', function () {
  this.timeout(60_000);
  let made: Stage;
  let client: OpenAI;
  before(async () => {
    made = await readyStage({ lines: [...think, ...cat] });
    client = new OpenAI({ baseURL: `${made.router.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });
  after(() => made.close());

  it('gets an answer', async () => {
    const answer = await client.chat.completions.create({
      model: 'pair',
      messages: [{ role: 'user', content: 'hi' }],
      max_completion_tokens: 50,
    });
    assert.equal(answer.choices[0]?.message.content, 'bat');
    assert.equal(answer.choices[0].finish_reason, 'stop');
    assert.equal(answer.usage?.completion_tokens, 10);
  });

  it('gets a stream, by hand and with its own accumulator', async () => {
    const request = { model: 'pair', messages: [{ role: 'user' as const, content: 'hi' }], stream: true as const };
    let text = '';
    for await (const part of await client.chat.completions.create(request)) text += part.choices[0]?.delta.content ?? '';
    assert.equal(text, 'bat');
    const runner = client.chat.completions.stream({ ...request, stream_options: { include_usage: true } });
    const final = await runner.finalChatCompletion();
    assert.equal(final.choices[0]?.message.content, 'bat');
    assert.equal((await runner.totalUsage()).completion_tokens, 10);
  });

  it('lists and finds the model', async () => {
    assert.deepEqual(
      (await client.models.list()).data.map(({ id }) => id),
      ['pair'],
    );
    assert.equal((await client.models.retrieve('pair')).id, 'pair');
    await assert.rejects(client.models.retrieve('other'), OpenAI.NotFoundError);
  });

  it('throws its own error classes, naming code and field', async () => {
    const messages = [{ role: 'user' as const, content: 'hi' }];
    await assert.rejects(client.chat.completions.create({ model: 'other', messages }), (error) => {
      assert.ok(error instanceof OpenAI.NotFoundError);
      assert.equal(error.code, 'model_not_found');
      return true;
    });
    await assert.rejects(client.chat.completions.create({ model: 'pair', messages, presence_penalty: 1 }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.deepEqual([error.code, error.param], ['unsupported_parameter', 'presence_penalty']);
      return true;
    });
  });
});
