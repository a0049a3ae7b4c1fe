import assert from 'node:assert/strict';
import { readAnswer } from '../../src/sglang/answer.ts';
import { bodyText, generateBody, type GenerateBody } from '../../src/sglang/call.ts';
import { EngineError, SequenceJson } from '../../src/sglang/index.ts';
import { recording } from './recordings.ts';

interface RecordedAnswer {
  output_ids: number[];
  meta_info: Record<string, unknown> & { id: string };
}

/** A recorded exchange as our client would have had it: its own call, under the recorded rid. */
function recorded(name: string): { readonly body: GenerateBody; readonly answer: RecordedAnswer } {
  const { request, response } = recording(name);
  const answer = response.body as RecordedAnswer;
  return { body: { ...(request.body as GenerateBody), rid: answer.meta_info.id }, answer };
}

describe('answers of a real SGLang', () => {
  for (const name of [
    'generate_ids_plain_1',
    'generate_ids_plain_8',
    'generate_hs_true_1_cold',
    'generate_hs_true_1_warm',
    'generate_hs_false_8',
    'generate_logprob_top100_1',
    'generate_logprob_top5_8',
    'generate_logprob_top512_hs_2',
    'generate_stop_token_ids',
    'duplicate_rid_first',
    'zz_concurrent_mixed_B_hs',
  ]) {
    it(`are read in full: ${name}`, () => {
      const { body, answer } = recorded(name);
      const read = readAnswer(answer, body, 'http://slm');
      assert.deepEqual(
        read.tokens.map(({ id }) => id),
        answer.output_ids,
      );
      assert.equal(read.finish, (answer.meta_info['finish_reason'] as { type: string }).type);
      for (const token of read.tokens) {
        assert.equal(token.top?.ids.length, body.top_logprobs_num);
        assert.equal(token.hidden?.length, body.return_hidden_states ? 64 : undefined);
        if (!token.top) continue;
        assert.equal(token.top.ids[0], token.id, 'a greedy token is the best of its distribution');
        assert.ok(token.top.logprobs.every((value, index, all) => index === 0 || value <= all[index - 1]!));
      }
    });
  }

  it('give the state that produced each token: the last row of the prompt, then one row a step', () => {
    const { body, answer } = recorded('generate_logprob_top512_hs_2');
    const { tokens } = readAnswer(answer, body, 'http://slm');
    const states = answer.meta_info['hidden_states'] as [number[][], number[]];
    assert.deepEqual([...tokens[0]!.hidden!], states[0].at(-1));
    assert.deepEqual([...tokens[1]!.hidden!], states[1]);
    const mass = tokens[0]!.top!.logprobs.reduce((sum, logprob) => sum + Math.exp(logprob), 0);
    assert.ok(Math.abs(mass - 1) < 1e-4, 'all 512 entries are the whole distribution');
  });

  it('that end by an abort are an error', () => {
    const events = recording('generate_stream_aborted')
      .response.sse_raw_by_tcp_read!.map(({ bytes }) => bytes)
      .join('');
    const last = events.split('\n\n').findLast((event) => event.startsWith('data: {'))!;
    const answer = JSON.parse(last.slice('data: '.length)) as RecordedAnswer;
    const body = generateBody({ ids: [10, 20, 30, 40, 50], maxNewTokens: 1500, timeoutMs: 1 }, 'long-1', { url: 'u', vocabSize: 512 });
    assert.throws(
      () => readAnswer(answer, body, 'http://slm'),
      (error) => error instanceof EngineError && error.code === 'aborted' && error.retryable,
    );
  });

  const damages: Record<string, (answer: RecordedAnswer) => unknown> = {
    'no object': () => null,
    'a list': (answer) => [answer],
    'no meta_info': ({ output_ids }) => ({ output_ids }),
    'no finish_reason': (answer) => change(answer, { finish_reason: null }),
    'another rid': (answer) => change(answer, { id: 'other' }),
    'another prompt': (answer) => change(answer, { prompt_tokens: 4 }),
    'a lost token': (answer) => ({ ...answer, output_ids: answer.output_ids.slice(1) }),
    'no tokens': (answer) => ({ ...change(answer, { completion_tokens: 0 }), output_ids: [] }),
    'a token that is a word': (answer) => ({ ...answer, output_ids: ['a', 'b'] }),
    'a token above any vocabulary': (answer) => ({ ...answer, output_ids: [2 ** 32, 5] }),
    'a token below zero': (answer) => ({ ...answer, output_ids: [-1, 5] }),
    'more tokens than asked': (answer) => ({ ...change(answer, { completion_tokens: 3 }), output_ids: [1, 2, 3] }),
    'no distributions': (answer) => change(answer, { output_top_logprobs: undefined }),
    'a lost distribution': (answer) => change(answer, { output_top_logprobs: list(answer, 'output_top_logprobs').slice(1) }),
    'a short distribution': (answer) =>
      change(answer, { output_top_logprobs: list(answer, 'output_top_logprobs').map((row) => row.slice(1)) }),
    'a best entry without value': (answer) =>
      change(answer, { output_top_logprobs: list(answer, 'output_top_logprobs').map((row) => [[null, 3, null], ...row.slice(1)]) }),
    'a lost state': (answer) => change(answer, { hidden_states: list(answer, 'hidden_states').slice(1) }),
    'a state of another chunk': (answer) => change(answer, { hidden_states: list(answer, 'hidden_states').map(() => [[1, 2]]) }),
    'an empty state': (answer) => change(answer, { hidden_states: [[[]], []] }),
    'states of two widths': (answer) => change(answer, { hidden_states: [[[1, 2]], [1, 2, 3]] }),
    'a state with a hole': (answer) => change(answer, { hidden_states: [[[1, null]], [1, 2]] }),
  };
  for (const [what, damage] of Object.entries(damages)) {
    it(`are refused with ${what}`, () => {
      const { body, answer } = recorded('generate_logprob_top512_hs_2');
      assert.throws(
        () => readAnswer(damage(answer), body, 'http://slm'),
        (error) =>
          error instanceof EngineError && error.code === 'malformed' && error.retryable && error.message.startsWith('http://slm: '),
      );
    });
  }

  it('may lack the value of an unlikely entry: JSON has no infinity', () => {
    const { body, answer } = recorded('generate_logprob_top5_8');
    const rows = list(answer, 'output_top_logprobs').map((row) => [...row.slice(0, -1), [null, 3, null]]);
    const { tokens } = readAnswer(change(answer, { output_top_logprobs: rows }), body, 'u');
    assert.equal(tokens[0]?.top?.logprobs.at(-1), -Infinity);
  });
});

describe('calls to a model server', () => {
  const server = { url: 'http://slm', vocabSize: 128 };
  const call = { ids: [1, 2], maxNewTokens: 3, timeoutMs: 1 };

  it('carry only what the loop needs, greedily, with the distribution clamped to the vocabulary', () => {
    const body = generateBody({ ...call, topLogprobs: 1000, hiddenStates: true, stopTokenIds: [7] }, 'rid', server);
    assert.deepEqual(body, {
      rid: 'rid',
      input_ids: [1, 2],
      sampling_params: { max_new_tokens: 3, temperature: 0, stop_token_ids: [7] },
      return_logprob: true,
      top_logprobs_num: 128,
      return_hidden_states: true,
    });
    assert.deepEqual(generateBody(call, 'rid', server), {
      rid: 'rid',
      input_ids: [1, 2],
      sampling_params: { max_new_tokens: 3, temperature: 0 },
    });
  });

  it('are the same when the caller keeps the sequence as text', () => {
    const start = SequenceJson.of([1]);
    const idsJson = start.append([2]).append([]);
    assert.equal(start.append([9]).text, '1,9', 'a continuation leaves its beginning alone');
    const body = generateBody({ ...call, idsJson }, 'rid', server);
    assert.deepEqual(JSON.parse(bodyText(body, idsJson)), body);
    assert.deepEqual(JSON.parse(bodyText(body)), body);
    assert.throws(() => SequenceJson.of([1, -2]), RangeError);
    assert.throws(() => start.append([1.5]), RangeError);
  });

  for (const [what, change, code] of [
    ['a sequence as text with an id above the vocabulary', { ids: [1, 128, 2], idsJson: SequenceJson.of([1, 128, 2]) }, 'invalid_token'],
    ['a sequence as text that is shorter', { idsJson: SequenceJson.of([2]) }, 'invalid_call'],
    ['a sequence as text that is another', { idsJson: SequenceJson.of([1, 3]) }, 'invalid_call'],
    ['a token id above the vocabulary', { ids: [1, 128] }, 'invalid_token'],
    ['a token id below zero', { ids: [-5] }, 'invalid_token'],
    ['half a token id', { ids: [1.5] }, 'invalid_token'],
    ['no tokens', { ids: [] }, 'invalid_call'],
    ['no new tokens', { maxNewTokens: 0 }, 'invalid_call'],
  ] as const) {
    it(`with ${what} are never sent`, () => {
      assert.throws(
        () => generateBody({ ...call, ...change }, 'rid', server),
        (error) => error instanceof EngineError && error.code === code && !error.retryable,
      );
    });
  }
});

function change(answer: RecordedAnswer, meta: object): RecordedAnswer {
  return { ...answer, meta_info: { ...answer.meta_info, ...meta } };
}

function list(answer: RecordedAnswer, field: string): unknown[][] {
  return answer.meta_info[field] as unknown[][];
}
