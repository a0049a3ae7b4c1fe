import assert from 'node:assert/strict';
import { expectedAnswer, type ExpectedAnswer } from '../../src/sglang/answer.ts';
import type { GenerateBody } from '../../src/sglang/call.ts';
import { Decoder, EngineError } from '../../src/sglang/index.ts';
import { unpackAnswer } from '../../src/sglang/packed-answer.ts';
import { recording } from './recordings.ts';

const url = 'http://slm';
const bytesOf = (value: unknown): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(JSON.stringify(value)));

/** An answer of `tokens` tokens with states of `width` and the best 100 of each distribution. */
function answerOf(tokens: number, width: number): { readonly answer: unknown; readonly expected: ExpectedAnswer } {
  const top = (id: number) => Array.from({ length: 100 }, (_, index) => [-index / 8, id + index, null]);
  const state = Array.from({ length: width }, (_, index) => Math.fround(Math.sin(index)));
  const answer = {
    text: '',
    output_ids: Array.from({ length: tokens }, (_, index) => index),
    meta_info: {
      id: 'rid',
      finish_reason: { type: 'length', length: tokens },
      prompt_tokens: 3,
      completion_tokens: tokens,
      cached_tokens: 2,
      output_top_logprobs: Array.from({ length: tokens }, (_, index) => top(index)),
      hidden_states: Array.from({ length: tokens }, (_, index) => (index === 0 ? [state] : state)),
    },
  };
  return { answer, expected: { rid: 'rid', promptTokens: 3, maxNewTokens: tokens, topLogprobs: 100, hiddenStates: true } };
}

describe('the decoder of answers', function () {
  this.timeout(30_000);
  const inline = new Decoder({ inlineBytes: Infinity });
  const threaded = new Decoder({ inlineBytes: 0 });
  after(() => threaded.close());

  for (const name of ['generate_logprob_top512_hs_2', 'generate_hs_true_1_cold', 'generate_logprob_top5_8', 'generate_ids_plain_8']) {
    it(`reads the same in a thread as in place: ${name}`, async () => {
      const { request, response } = recording(name);
      const rid = (response.body as { meta_info: { id: string } }).meta_info.id;
      const expected = expectedAnswer({ ...(request.body as GenerateBody), rid });
      const [here, there] = await Promise.all(
        [inline, threaded].map((decoder) => decoder.decode(bytesOf(response.body), expected, url).then(({ packed }) => packed)),
      );
      assert.deepEqual(there, here);
    });
  }

  it('gives back the states of an answer, and nothing else of it, when told to', async () => {
    const { answer, expected } = answerOf(3, 8);
    const { packed } = await threaded.decode(bytesOf(answer), expected, url);
    const { tokens } = unpackAnswer(packed);
    assert.deepEqual(
      tokens.map(({ hidden }) => hidden?.length),
      [8, 8, 8],
    );
    tokens[1]?.release?.();
    tokens[2]?.release?.();
    assert.deepEqual(
      tokens.map(({ hidden, top }) => [hidden?.length, top?.ids.length, top?.logprobs.length]),
      [
        [0, 100, 100],
        [0, 100, 100],
        [0, 100, 100],
      ],
    );
  });

  it('refuses the same in a thread as in place', async () => {
    const { answer, expected } = answerOf(2, 8);
    const cases: [bytes: () => Uint8Array<ArrayBuffer>, expected: ExpectedAnswer, message: RegExp][] = [
      [() => bytesOf(answer), { ...expected, rid: 'other' }, /^http:\/\/slm: answer to \/generate: meta_info.id is another request$/],
      [() => bytesOf(answer).slice(0, -9), expected, /^http:\/\/slm: answer to \/generate is not JSON/],
    ];
    for (const [bytes, wanted, message] of cases)
      for (const decoder of [inline, threaded])
        await assert.rejects(decoder.decode(bytes(), wanted, url), (error) => {
          assert.ok(error instanceof EngineError);
          assert.equal(error.code, 'malformed');
          assert.match(error.message, message);
          return true;
        });
  });

  it('keeps the event loop turning while it parses', async () => {
    const { answer, expected } = answerOf(256, 4096);
    const bytes = bytesOf(answer);
    await threaded.decode(bytesOf(answer), expected, url);
    let longestMs = 0;
    let over = false;
    let before = performance.now();
    const turn = (): void => {
      const now = performance.now();
      longestMs = Math.max(longestMs, now - before);
      before = now;
      if (!over) setImmediate(turn);
    };
    setImmediate(turn);
    const { packed, decodeMs } = await threaded.decode(bytes, expected, url);
    over = true;
    assert.equal(packed.hidden?.values.length, 256 * 4096);
    assert.ok(longestMs < decodeMs / 2, `stood still for ${longestMs.toFixed(1)} ms of ${decodeMs.toFixed(1)} ms`);
  });

  it('loses only the answers that its thread dies of, and those beside it', async () => {
    const decoder = new Decoder({ inlineBytes: 0 });
    const { answer, expected } = answerOf(2, 8);
    const deadly = decoder.decode(bytesOf(answer), null as unknown as ExpectedAnswer, url);
    const beside = decoder.decode(bytesOf(answer), expected, url);
    for (const call of [deadly, beside])
      await assert.rejects(call, (error) => error instanceof EngineError && error.code === 'decoder_failed' && error.retryable);
    const { packed } = await decoder.decode(bytesOf(answer), expected, url);
    assert.deepEqual([...packed.ids], [0, 1], 'a new thread took over');
    const last = decoder.decode(bytesOf(answer), expected, url);
    await Promise.all([assert.rejects(last, (error) => error instanceof EngineError && error.code === 'decoder_failed'), decoder.close()]);
    await assert.rejects(decoder.decode(bytesOf(answer), expected, url), /the decoder is closed/);
  });
});
