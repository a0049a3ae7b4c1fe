import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EngineError, SequenceJson, SglangClient } from '../../src/sglang/index.ts';
import { readPrefill } from '../../src/sglang/prefill-answer.ts';
import { prefillBody, type PrefillBody } from '../../src/sglang/prefill.ts';
import { scanPrefill } from '../../src/sglang/prefill-scanner.ts';
import { readRecording } from '../conformance/recording.ts';

interface RecordedAnswer {
  output_ids: number[];
  meta_info: Record<string, unknown> & {
    id: string;
    input_token_logprobs: [number | null, number, null][];
    input_top_logprobs: (null | [number, number, null][])[];
    output_top_logprobs: [number, number, null][][];
    hidden_states: number[][][];
  };
}

const server = { url: 'http://slm', vocabSize: 512 };
const recordings = ['prefill_segment_1', 'prefill_segment_2', 'prefill_segment_3', 'prefill_other_key', 'prefill_no_key', 'prefill_warm'];

/** A recorded exchange as our client would have had it. */
function recorded(name: string): { readonly body: PrefillBody; readonly answer: RecordedAnswer } {
  const { request, response } = readRecording(name);
  const answer = structuredClone(response.body) as RecordedAnswer;
  return { body: { ...(request.body as PrefillBody), rid: answer.meta_info.id }, answer };
}

const bytesOf = (value: unknown, indent?: number) => new Uint8Array(Buffer.from(JSON.stringify(value, null, indent)));
/** As SGLang writes it, and in a form that only JSON.parse reads. */
const forms: Readonly<Record<string, number | undefined>> = { 'as it was sent': undefined, 'with white space': 1 };

describe('prefills answered by a real SGLang', () => {
  for (const name of recordings)
    for (const [form, indent] of Object.entries(forms))
      it(`are read row by row, ${form}: ${name}`, () => {
        const { body, answer } = recorded(name);
        const { meta_info: meta } = answer;
        assert.equal(
          scanPrefill(Buffer.from(bytesOf(answer, indent)), body.input_ids.length - body.logprob_start_len, 5) === undefined,
          indent === 1,
        );
        const { rows, stateRows, cachedTokens } = readPrefill(bytesOf(answer, indent), body, server);
        const [from, length] = [body.logprob_start_len, body.input_ids.length];
        assert.equal(rows!.length, length - from);
        assert.equal(cachedTokens, meta['cached_tokens']);
        assert.equal(stateRows, length - cachedTokens);
        for (const [index, { top, hidden }] of rows!.entries()) {
          // the row of a token predicts the next one, so that its distribution stands at the next entry
          const entries = meta.input_top_logprobs[index + 1] ?? meta.output_top_logprobs[0]!;
          assert.deepEqual(
            [...top.ids],
            entries.map(([, id]) => id),
          );
          assert.deepEqual(
            [...top.logprobs],
            entries.map(([logprob]) => logprob),
          );
          assert.deepEqual([...hidden], meta.hidden_states[0]!.at(index - rows!.length));
          const own = meta.input_token_logprobs[index + 1];
          const rank = own ? entries.findIndex(([, id]) => id === own[1]) : 0;
          if (own && rank >= 0) assert.ok(Math.abs(own[0]! - top.logprobs[rank]!) < 1e-5);
        }
        assert.equal(rows!.at(-1)!.top.ids[0], answer.output_ids[0]);
      });

  it('that lack states of what was asked for have no rows', () => {
    const { body, answer } = recorded('prefill_segment_2');
    answer.meta_info.hidden_states[0] = answer.meta_info.hidden_states[0]!.slice(-10);
    const { rows, stateRows } = readPrefill(bytesOf(answer), body, server);
    assert.deepEqual([rows, stateRows], [undefined, 10]);
  });

  it('that were read in several passes have no rows: those of one pass may be of any of them', () => {
    const { body, answer } = recorded('prefill_other_key');
    answer.meta_info.hidden_states[0] = answer.meta_info.hidden_states[0]!.slice(0, 20);
    assert.equal(readPrefill(bytesOf(answer), body, server).rows, undefined);
  });

  const damages: Readonly<Record<string, (answer: RecordedAnswer) => void>> = {
    'another rid': ({ meta_info: meta }) => (meta.id = 'other'),
    'another prompt length': ({ meta_info: meta }) => (meta['prompt_tokens'] = 5),
    'other tokens': ({ meta_info: meta }) => (meta.input_token_logprobs[3]![1] = 77),
    'an entry less': ({ meta_info: meta }) => void meta.input_token_logprobs.pop(),
    'no prompt distributions': ({ meta_info: meta }) => (meta.input_top_logprobs = []),
    'a distribution less': ({ meta_info: meta }) => void meta.input_top_logprobs.pop(),
    'a first distribution where there is none': ({ meta_info: meta }) => (meta.input_top_logprobs[0] = meta.input_top_logprobs[1]!),
    'a distribution that ascends': ({ meta_info: meta }) => void meta.input_top_logprobs[4]!.reverse(),
    'a short distribution': ({ meta_info: meta }) => void meta.output_top_logprobs[0]!.pop(),
    'a state that is no list': ({ meta_info: meta }) => (meta.hidden_states[0]![7] = 2 as never),
    'states of two widths': ({ meta_info: meta }) => void meta.hidden_states[0]![7]!.pop(),
    'a state without a number': ({ meta_info: meta }) => (meta.hidden_states[0]![7]![3] = null as never),
    'two passes': ({ meta_info: meta }) => void meta.hidden_states.push([[1]]),
    'more states than were read': ({ meta_info: meta }) => void meta.hidden_states[0]!.push(meta.hidden_states[0]![0]!),
  };
  for (const [name, damage] of Object.entries(damages))
    for (const [form, indent] of Object.entries(forms))
      it(`are refused with ${name}, ${form}`, () => {
        const { body, answer } = recorded('prefill_segment_1');
        damage(answer);
        assert.throws(
          () => readPrefill(bytesOf(answer, indent), body, server),
          (error) => error instanceof EngineError && error.code === 'malformed' && error.retryable,
        );
      });

  it('that are no JSON, or aborted, say so', () => {
    const { body, answer } = recorded('prefill_segment_1');
    const is = (code: string) => (error: unknown) => error instanceof EngineError && error.code === code;
    assert.throws(() => readPrefill(bytesOf(answer).slice(0, -3), body, server), is('malformed'));
    answer.meta_info['finish_reason'] = { type: 'abort', message: 'Aborted' };
    assert.throws(() => readPrefill(bytesOf(answer), body, server), is('aborted'));
  });
});

describe('a call for a prefill', () => {
  const call = { ids: [1, 2, 3, 4], from: 2, topLogprobs: 5, timeoutMs: 1000 };

  it('asks for one token, for the states, and for log-probabilities from the first position on', () => {
    assert.deepEqual(prefillBody({ ...call, cacheKey: 'question-7' }, 'rid', server), {
      rid: 'rid',
      input_ids: [1, 2, 3, 4],
      sampling_params: { max_new_tokens: 1, temperature: 0 },
      return_logprob: true,
      logprob_start_len: 2,
      top_logprobs_num: 5,
      return_hidden_states: true,
      extra_key: 'question-7',
    });
    assert.equal(prefillBody({ ...call, topLogprobs: 10_000 }, 'rid', server).top_logprobs_num, 512);
  });

  it('is refused when it would confuse a server', () => {
    for (const wrong of [{ from: 4 }, { from: -1 }, { from: 0.5 }, { topLogprobs: 0 }, { ids: [] }, { ids: [1, 512], from: 0 }])
      assert.throws(() => prefillBody({ ...call, ...wrong }, 'rid', server), EngineError);
    assert.throws(() => prefillBody({ ...call, idsJson: SequenceJson.of([1, 2, 3]) }, 'rid', server), EngineError);
  });

  /** A server that lacks states the first `short` times. */
  async function withServer(short: number, use: (client: SglangClient, rids: readonly string[]) => Promise<void>): Promise<void> {
    const rids: string[] = [];
    const http = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { rid } = JSON.parse(Buffer.concat(chunks).toString()) as { rid: string };
        rids.push(rid);
        const { answer } = recorded('prefill_segment_2');
        answer.meta_info.id = rid;
        if (rids.length <= short) answer.meta_info.hidden_states[0] = answer.meta_info.hidden_states[0]!.slice(-1);
        response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
      });
    }).listen(0, '127.0.0.1');
    await once(http, 'listening');
    const client = new SglangClient({ url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, vocabSize: 512 });
    try {
      await use(client, rids);
    } finally {
      await client.destroy();
      http.close();
    }
  }
  const { body } = recorded('prefill_segment_2');
  const sent = { ids: body.input_ids, from: body.logprob_start_len, topLogprobs: 5, timeoutMs: 5000 };

  it('is made again under another name when states are missing', () =>
    withServer(2, async (client, rids) => {
      const { rows, cachedTokens, cost } = await client.prefill(sent);
      assert.deepEqual([rows.length, cachedTokens, rids.length, new Set(rids).size], [16, 24, 3, 3]);
      assert.ok(cost.bytes > 1000);
      assert.equal(client.inFlight, 0);
    }));

  it('fails when they are missing again and again, naming the setting', () =>
    withServer(9, async (client, rids) => {
      await assert.rejects(
        client.prefill(sent),
        (error) =>
          error instanceof EngineError && error.code === 'malformed' && /1 rows for 16 tokens: --chunked-prefill-size/.test(error.message),
      );
      assert.equal(rids.length, 3);
    }));
});
