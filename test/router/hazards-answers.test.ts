import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { ask, complete, post, type Chunk } from './chat-client.ts';
import { vocabulary } from './model-folder.ts';
import { distribution } from './scripted-models.ts';
import { neuralConfig, scriptedNetwork, states } from './scripted-network.ts';
import { answer, type Answer, type ReceivedCall } from './scripted-server.ts';
import { readyStage, type Stage, until } from './stage.ts';

const letter = (character: string): number => character.charCodeAt(0);
/** The SLM drafts `cat, cot.`; the LLM turns the first `c` into `b` and agrees on the `o`. */
const draft = 'cat, cot.';
const divergent: Readonly<Record<number, string>> = { 0: 'b', 6: 'o' };
const expected = { content: 'bat, cot.', counts: { slm: 8, llm: 2, fallback: 0 } };

const first = <T>(list: readonly T[] | undefined): T => list![0]!;
const tops = ({ meta_info: meta }: Answer): unknown[][] => meta.output_top_logprobs!;
const rows = ({ meta_info: meta }: Answer): unknown[] => meta.hidden_states!;

/** Answers that are wrong in one way. Those of the first list concern what every call asks for. */
const wrongAnswers: Readonly<Record<string, (answer: Answer, call: ReceivedCall) => unknown>> = {
  'of another rid': ({ meta_info: meta, ...rest }) => ({ ...rest, meta_info: { ...meta, id: '00000000-0000-4000-8000-000000000000' } }),
  'to another prompt': ({ meta_info: meta, ...rest }) => ({ ...rest, meta_info: { ...meta, prompt_tokens: 1 } }),
  'without meta_info': ({ output_ids: ids }) => ({ output_ids: ids }),
  'without tokens': ({ meta_info: meta }) => ({ output_ids: [], meta_info: { ...meta, completion_tokens: 0 } }),
  'with a token too many': ({ output_ids: ids, meta_info: meta }) => ({ output_ids: [...ids, 1], meta_info: meta }),
  'with a token that is no number': ({ output_ids: ids, meta_info: meta }) => ({ output_ids: ids.map(String), meta_info: meta }),
  'with a negative token': ({ output_ids: ids, meta_info: meta }) => ({ output_ids: ids.map(() => -1), meta_info: meta }),
  'that was aborted': ({ output_ids: ids, meta_info: meta }) => ({
    output_ids: ids,
    meta_info: { ...meta, finish_reason: { type: 'abort', message: 'Aborted', status_code: null } },
  }),
  'that was aborted in the queue': (_, { rid }) => ({
    output_ids: [],
    meta_info: { id: rid, finish_reason: { type: 'abort', message: 'Abort in waiting queue' } },
  }),
  'that is not over': ({ output_ids: ids, meta_info: meta }) => ({ output_ids: ids, meta_info: { ...meta, finish_reason: null } }),
  'that is a list': (answer) => [answer],
  'that is null': () => null,
  'that is an error with status 200': () => ({ error: { message: 'no', code: 500, retryable: true } }),
};

const wrongRows: Readonly<Record<string, (answer: Answer) => unknown>> = {
  'with fewer distributions than tokens': (answer) => (tops(answer).pop(), answer),
  'without distributions': ({ meta_info: { output_top_logprobs: _, ...meta }, ...rest }) => ({ ...rest, meta_info: meta }),
  'with a short distribution': (answer) => (first(tops(answer)).pop(), answer),
  'with an unsorted distribution': (answer) => (first(tops(answer)).reverse(), answer),
  'with a distribution that does not begin with the token': (answer) => (first(tops(answer)).splice(0, 1, [-0.01, 399, null]), answer),
  'with a log-probability that is none': (answer) => (first(tops(answer)).splice(0, 1, ['NaN', 99, null]), answer),
  'with a log-probability above 0': (answer) => (first(tops(answer)).splice(0, 1, [3, answer.output_ids[0], null]), answer),
  'with a distribution over something else': (answer) => (first(tops(answer)).splice(99, 1, [-20, 1.5, null]), answer),
};

const wrongStates: Readonly<Record<string, (answer: Answer) => unknown>> = {
  'with fewer states than tokens': (answer) => (rows(answer).pop(), answer),
  'without states': ({ meta_info: { hidden_states: _, ...meta }, ...rest }) => ({ ...rest, meta_info: meta }),
  'with an empty first state': (answer) => (rows(answer).splice(0, 1, []), answer),
  'with null in a state': (answer) => (((rows(answer).at(-1) as unknown[])[1] = null), answer),
  'with a state that is too short': (answer) => (rows(answer).splice(-1, 1, [1]), answer),
  'with a number beyond float32': (answer) => (rows(answer).splice(-1, 1, [1, 2, 3, 1e39]), answer),
  'with nested rows for a decode step': (answer) => (rows(answer).splice(-1, 1, [[1, 2, 3, 4]]), answer),
};

/** What comes instead of JSON. */
const wrongBytes: Readonly<Record<string, (response: ServerResponse, json: string) => unknown>> = {
  'that is cut in the middle': (response, json) => response.end(json.slice(0, json.length / 2)),
  'that ends before its content-length': (response, json) =>
    response.writeHead(200, { 'content-length': json.length + 50 }).write(json, () => response.destroy()),
  'longer than its content-length': (response, json) => {
    response.socket?.end(`HTTP/1.1 200 OK\r\ncontent-length: ${json.length - 40}\r\n\r\n${json}`);
  },
  'that is HTML': (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>502 Bad Gateway</html>'),
  'with NaN, as Python writes it': (response, json) => response.end(json.replace(/"cached_tokens":\d+/, '"cached_tokens":NaN')),
  'that is empty': (response) => response.writeHead(200).end(),
  'that is a redirect': (response) => response.writeHead(302, { location: '/elsewhere' }).end(),
  'that is a 500': (response) => response.writeHead(500).end('Internal Server Error'),
  'that is no HTTP': (response) => response.socket?.end('\u0000\u0001\r\n\r\n'),
};

describe('answers of model servers that are damaged', function () {
  this.timeout(60_000);
  let made: Stage;
  const assistant = Buffer.from('assistant\n').length;
  const positionOf = (prefix: readonly number[]): number => prefix.length - (prefix.lastIndexOf(vocabulary.start) + 1 + assistant);
  const slmNext = (prefix: readonly number[]) => {
    const position = positionOf(prefix);
    const id = position >= 0 && position < draft.length ? letter(draft[position]!) : vocabulary.end;
    return { id, top: distribution(id, 0.9), hidden: divergent[position] === undefined ? states.plain : states.divergent };
  };
  const llmNext = (prefix: readonly number[]) => {
    const own = divergent[positionOf(prefix)];
    const id = own === undefined ? slmNext(prefix).id : letter(own);
    return { id, top: distribution(id, 0.9) };
  };

  before(async () => {
    made = await readyStage({
      lines: [],
      llms: 2,
      config: { ...neuralConfig, lookahead: 'Nested' },
      slm: { next: slmNext },
      llm: { next: llmNext },
      router: { loadNetwork: scriptedNetwork() },
    });
  });
  after(() => made.close());
  afterEach(() => {
    for (const server of [made.slm, ...made.llms]) {
      server.behaviour.damage = undefined;
      server.behaviour.intercept = () => false;
    }
  });

  /** Damages the next answers of each server, then lets it be. @returns how many were damaged */
  const damage = (servers: readonly Stage['slm'][], times: number, how: (answer: Answer, call: ReceivedCall) => unknown) => {
    let done = 0;
    for (const { behaviour } of servers) {
      let left = times;
      behaviour.damage = (whole, call) => {
        if (left-- <= 0) return whole;
        done++;
        return how(whole, call);
      };
    }
    return () => done;
  };
  const isRight = async (): Promise<void> => {
    const { choices, r2r } = await complete(made.router.url);
    assert.deepEqual([choices[0]?.message.content, r2r?.token_counts, r2r?.degraded], [expected.content, expected.counts, false]);
  };

  for (const [how, spoil] of Object.entries({ ...wrongAnswers, ...wrongRows, ...wrongStates })) {
    it(`asks the SLM again after one ${how}`, async () => {
      const damaged = damage([made.slm], 2, spoil);
      await isRight();
      assert.equal(damaged(), 2);
    });
  }

  for (const [how, spoil] of Object.entries(wrongAnswers)) {
    it(`asks an LLM replica again, or another, after one ${how}`, async () => {
      const damaged = damage(made.llms, 2, spoil);
      await isRight();
      assert.ok(damaged() >= 1, 'damage was done');
    });
  }

  for (const [how, send] of Object.entries(wrongBytes)) {
    for (const side of ['SLM', 'LLM'] as const) {
      it(`asks the ${side} again after an answer ${how}`, async () => {
        const servers = side === 'SLM' ? [made.slm] : made.llms;
        let left = 3;
        for (const { behaviour } of servers) {
          behaviour.intercept = (call, response) => {
            if (left-- <= 0) return false;
            const next = side === 'SLM' ? slmNext : llmNext;
            const whole = answer({ ...call, sampling_params: { max_new_tokens: 1 } }, [next(call.input_ids)], {
              type: 'length',
              length: 1,
            });
            send(response, JSON.stringify(whole));
            return true;
          };
        }
        await isRight();
        assert.ok(left < 3);
      });
    }
  }

  it('never takes the state of a token in the middle of a prompt that was read in several passes', async () => {
    const passes = await readyStage({
      lines: [],
      config: { ...neuralConfig, maxDraftTokens: 1 },
      slm: { next: slmNext, passTokens: 8 },
      llm: { next: llmNext },
      router: { loadNetwork: scriptedNetwork() },
    });
    try {
      const { choices, r2r } = await complete(passes.router.url);
      assert.deepEqual([choices[0]?.message.content, r2r?.token_counts], [expected.content, expected.counts]);
    } finally {
      await passes.close();
    }
  });

  for (const [shape, body] of Object.entries({
    'an object': { error: { message: 'at /srv/model: too long' } },
    'a text': { error: 'unknown field `x`, expected one of `y`' },
    "OpenAI's": { object: 'error', message: 'in /srv/model', type: 'BadRequestError', param: null, code: 400 },
  })) {
    it(`answers 502 without the server's words when the SLM refuses with an error that is ${shape}`, async () => {
      let refused = 0;
      made.slm.behaviour.intercept = (_, response) => {
        refused++;
        response.writeHead(400).end(JSON.stringify(body));
        return true;
      };
      const response = await post(made.router.url, ask);
      const { error } = (await response.json()) as Chunk;
      assert.deepEqual([response.status, error?.code, refused], [502, 'engine_error', 1]);
      assert.doesNotMatch(error?.message ?? '', /srv|unknown field/);
    });

    it(`asks another replica when one LLM refuses with an error that is ${shape}`, async () => {
      const bad = made.llms[0]!;
      // the cases before have had it taken out
      await until(() => made.router.status().llmEndpoints.every(({ ready }) => ready), 'both replicas take calls');
      bad.behaviour.intercept = (_, response) => {
        response.writeHead(400).end(JSON.stringify(body));
        return true;
      };
      const refused = (): number => bad.calls.length;
      const before = refused();
      for (let turn = 0; turn < 20 && refused() === before; turn++) {
        const { choices, r2r } = await complete(made.router.url, { prompt_cache_key: `${shape} ${turn}` });
        assert.deepEqual([choices[0]?.message.content, r2r?.degraded], [expected.content, false]);
      }
      assert.ok(refused() > before, 'the one that refuses was asked');
    });
  }

  it('answers 503 when the answers stay damaged, and emits what was certain before', async () => {
    made.slm.behaviour.damage = (whole, { input_ids: ids }) => {
      if (positionOf(ids) > 2) whole.meta_info.hidden_states?.pop();
      return whole;
    };
    const response = await post(made.router.url, { ...ask, stream: true, r2r: { tokens: true } });
    const text = await response.text();
    const events = text.split('\n\n').filter((event) => event.startsWith('data: {'));
    const parsed = events.map((event) => JSON.parse(event.slice('data: '.length)) as Partial<Chunk>);
    const content = parsed.map(({ choices }) => choices?.[0]?.delta.content ?? '').join('');
    assert.ok(expected.content.startsWith(content) && content.length > 0, content);
    assert.equal(parsed.at(-1)?.error?.code, 'slm_unavailable');
    assert.doesNotMatch(text, /\[DONE\]/);
  });
});
