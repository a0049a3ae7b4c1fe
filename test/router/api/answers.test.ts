import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { routerDefaults } from '../../../src/api/router-config.ts';
import { chunks, type Completion, type Extension, type Refusal } from '../chat-client.ts';
import { vocabulary } from '../model-folder.ts';
import { readyStage, say, type Line, type Stage } from '../stage.ts';

const letter = (character: string): number => character.charCodeAt(0);
/** The SLM says "cat", unsure of its first letter, where the LLM says "b"; then an end token. */
const cat: Line[] = [{ id: letter('c'), unsure: true, llm: letter('b') }, { id: letter('a') }, { id: letter('t') }];
/** A prompt after which the scripted models begin. */
const prompt = '<|im_start|>assistant\n';
const promptIds = [vocabulary.start, ...Buffer.from('assistant\n')];

interface TextCompletion extends Extension {
  readonly id: string;
  readonly object: string;
  readonly choices: readonly ({
    readonly index: number;
    readonly text: string;
    readonly finish_reason: string;
    readonly logprobs: object | null;
  } & Extension)[];
  readonly usage: Completion['usage'];
}

describe('the API', function () {
  this.timeout(60_000);
  let made: Stage;
  before(async () => {
    made = await readyStage({ lines: cat });
  });
  after(() => made.close());
  const postTo = (path: string, body: object): Promise<Response> =>
    fetch(made.router.url + path, { method: 'POST', body: JSON.stringify(body) });
  const answer = async <T>(path: string, body: object): Promise<T> => {
    const response = await postTo(path, body);
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text) as T;
  };
  const refused = async (path: string, body: object): Promise<readonly unknown[]> => {
    const response = await postTo(path, body);
    const { error } = (await response.json()) as Refusal;
    return [response.status, error.code, error.param];
  };

  describe('/v1/completions', () => {
    const ask = { model: 'pair', prompt };
    const complete = (change: object = {}): Promise<TextCompletion> => answer('/v1/completions', { ...ask, ...change });

    it('continues a text or token ids as OpenAI does', async () => {
      for (const given of [prompt, promptIds]) {
        const { id, object, choices, usage, llm_ratio } = await complete({ prompt: given, r2r: { tokens: true } });
        assert.match(id, /^cmpl-/);
        assert.equal(object, 'text_completion');
        assert.deepEqual(choices, [{ index: 0, text: 'bat', logprobs: null, finish_reason: 'stop' }]);
        assert.deepEqual([usage.prompt_tokens, usage.completion_tokens, llm_ratio], [promptIds.length, 4, 0.25]);
      }
    });

    it('answers several prompts, each with as many choices as asked for, numbered through', async () => {
      const batch = await complete({ prompt: [prompt, `x${prompt}`], n: 2, r2r: { tokens: true } });
      assert.deepEqual(
        batch.choices.map(({ index, text, llm_ratio, r2r }) => [index, text, llm_ratio, r2r?.tokens?.length]),
        [0, 1, 2, 3].map((index) => [index, 'bat', 0.25, 4]),
      );
      assert.deepEqual([batch.usage.prompt_tokens, batch.usage.completion_tokens], [2 * promptIds.length + 1, 16]);
      assert.deepEqual(batch.r2r?.token_counts, { slm: 12, llm: 4, fallback: 0 });
      const ids = await complete({ prompt: [promptIds, promptIds] });
      assert.deepEqual(
        ids.choices.map(({ text }) => text),
        ['bat', 'bat'],
      );
    });

    it('streams every choice under its index', async () => {
      const texts: Record<number, string> = {};
      const ends: unknown[] = [];
      const body = { ...ask, prompt: [prompt, prompt], n: 2, stream: true, stream_options: { include_usage: true } };
      let last: unknown;
      for await (const event of chunks(await postTo('/v1/completions', body))) {
        last = event;
        if (event === '[DONE]') continue;
        const part = event as unknown as TextCompletion;
        for (const { index, text, finish_reason } of part.choices) {
          texts[index] = (texts[index] ?? '') + text;
          if (finish_reason) ends.push([index, finish_reason, part.llm_ratio]);
        }
        if (part.choices.length === 0) assert.equal(part.usage.completion_tokens, 16);
      }
      assert.equal(last, '[DONE]');
      assert.deepEqual(Object.values(texts), ['bat', 'bat', 'bat', 'bat']);
      assert.deepEqual(
        ends.toSorted((a, b) => Number((a as number[])[0]) - Number((b as number[])[0])),
        [0, 1, 2, 3].map((index) => [index, 'stop', 0.25]),
      );
    });

    it("gives log-probabilities in OpenAI's older form, of the model that supplied the token", async () => {
      const { choices } = await complete({ logprobs: 2 });
      const { tokens, token_logprobs, top_logprobs, text_offset } = choices[0]!.logprobs as {
        tokens: string[];
        token_logprobs: number[];
        top_logprobs: Record<string, number>[];
        text_offset: number[];
      };
      assert.deepEqual(
        [tokens, text_offset],
        [
          ['b', 'a', 't'],
          [0, 1, 2],
        ],
      );
      assert.deepEqual(
        token_logprobs.map((value) => Math.exp(value).toFixed(3)),
        ['0.900', '0.990', '0.990'],
        'the first is from the LLM, which is sure to 0.9',
      );
      assert.deepEqual(
        top_logprobs.map((each) => Object.keys(each).length),
        [2, 2, 2],
      );
      assert.equal(top_logprobs[0]!['b'], token_logprobs[0]);
    });

    it('refuses what it cannot give, naming the field', async () => {
      const cases: readonly [change: object, code: string, param: string][] = [
        [{ echo: true }, 'unsupported_parameter', 'echo'],
        [{ suffix: 'x' }, 'unsupported_parameter', 'suffix'],
        [{ best_of: 3 }, 'unsupported_parameter', 'best_of'],
        [{ logprobs: 21 }, 'invalid_value', 'logprobs'],
        [{ prompt: undefined }, 'invalid_value', 'prompt'],
        [{ prompt: '' }, 'invalid_value', 'prompt'],
        [{ prompt: [] }, 'invalid_value', 'prompt'],
        [{ prompt: [[]] }, 'invalid_value', 'prompt'],
        [{ prompt: [1, 'x'] }, 'invalid_value', 'prompt'],
        [{ prompt: [1.5] }, 'invalid_value', 'prompt'],
        [{ prompt: [-1] }, 'invalid_value', 'prompt'],
        [{ prompt: [vocabulary.length] }, 'invalid_value', 'prompt'],
        [{ prompt: [[1], [2, 1e9]] }, 'invalid_value', 'prompt.1'],
        [{ prompt: 'x'.repeat(3000) }, 'context_length_exceeded', 'prompt'],
        [{ prompt: 'x'.repeat(200_000) }, 'context_length_exceeded', 'prompt'],
        [{ prompt: Array.from({ length: 3000 }, () => 1) }, 'context_length_exceeded', 'prompt'],
        [{ prompt: Array.from({ length: 9 }, () => 'x') }, 'invalid_value', 'prompt'],
        [{ model: 'other' }, 'model_not_found', 'model'],
      ];
      for (const [change, code, param] of cases)
        assert.deepEqual(
          (await refused('/v1/completions', { ...ask, ...change })).slice(1),
          [code, param],
          JSON.stringify(change).slice(0, 80),
        );
      assert.equal((await complete({ echo: false, suffix: null, best_of: 1 })).choices[0]?.text, 'bat');
    });

    it('serves the official client', async () => {
      const client = new OpenAI({ baseURL: `${made.router.url}/v1`, apiKey: 'none', maxRetries: 0 });
      const whole = await client.completions.create({ model: 'pair', prompt, max_tokens: 2 });
      assert.deepEqual([whole.choices[0]?.text, whole.choices[0]?.finish_reason], ['ba', 'length']);
      let text = '';
      for await (const part of await client.completions.create({ model: 'pair', prompt, stream: true }))
        text += part.choices[0]?.text ?? '';
      assert.equal(text, 'bat');
    });
  });

  describe('/generate', () => {
    interface Generated extends Extension {
      readonly text: string;
      readonly input_ids: readonly number[];
      readonly output_ids: readonly number[];
      readonly meta_info: { readonly id: string; readonly finish_reason: { readonly type: string }; readonly completion_tokens: number };
    }

    it("answers upstream's request with upstream's fields", async () => {
      for (const given of [{ text: prompt }, { input_ids: promptIds }]) {
        const { text, input_ids, output_ids, llm_ratio, meta_info } = await answer<Generated>('/generate', {
          ...given,
          sampling_params: { temperature: 0, top_p: 1, top_k: -1, max_new_tokens: 100 },
          display_progress: false,
        });
        assert.deepEqual([text, llm_ratio], ['bat', 0.25]);
        assert.deepEqual(input_ids, promptIds);
        assert.deepEqual(output_ids, [...Buffer.from('bat'), vocabulary.end]);
        assert.deepEqual([meta_info.finish_reason, meta_info.completion_tokens], [{ type: 'stop' }, 4]);
      }
    });

    it('answers lists with lists', async () => {
      const both = await answer<readonly Generated[]>('/generate', { text: [prompt, prompt] });
      assert.deepEqual(
        both.map(({ text }) => text),
        ['bat', 'bat'],
      );
      assert.notEqual(both[0]?.meta_info.id, both[1]?.meta_info.id);
      assert.equal((await answer<readonly Generated[]>('/generate', { input_ids: [promptIds] })).length, 1);
    });

    it('ends after max_new_tokens, by itself after 128, and before stop strings', async () => {
      const long = await readyStage({ lines: say('x'.repeat(1000)) });
      try {
        const run = async (sampling: object): Promise<readonly unknown[]> => {
          const response = await fetch(`${long.router.url}/generate`, {
            method: 'POST',
            body: JSON.stringify({ text: prompt, sampling_params: sampling }),
          });
          const { text, meta_info } = (await response.json()) as Generated;
          return [text.length, meta_info.finish_reason.type];
        };
        assert.deepEqual(await run({}), [128, 'length']);
        assert.deepEqual(await run({ max_new_tokens: 3 }), [3, 'length']);
        assert.deepEqual(await run({ stop: ['xx'] }), [0, 'stop']);
      } finally {
        await long.close();
      }
    });

    it('refuses what has no effect, naming the field', async () => {
      const cases: readonly [body: object, code: string, param: string][] = [
        [{}, 'invalid_value', 'text'],
        [{ text: prompt, input_ids: promptIds }, 'invalid_value', 'text'],
        [{ text: promptIds }, 'invalid_value', 'text'],
        [{ input_ids: prompt }, 'invalid_value', 'input_ids'],
        [{ input_ids: [1e9] }, 'invalid_value', 'input_ids'],
        [{ text: prompt, stream: true }, 'unsupported_parameter', 'stream'],
        [{ text: prompt, return_logprob: true }, 'unsupported_parameter', 'return_logprob'],
        [{ text: prompt, sampling_params: { frequency_penalty: 1 } }, 'unsupported_parameter', 'sampling_params.frequency_penalty'],
        [{ text: prompt, sampling_params: { surprise: 1 } }, 'unsupported_parameter', 'sampling_params.surprise'],
        [{ text: prompt, sampling_params: { max_new_tokens: 0 } }, 'invalid_value', 'sampling_params.max_new_tokens'],
        [{ text: prompt, sampling_params: [] }, 'invalid_value', 'sampling_params'],
      ];
      for (const [body, code, param] of cases)
        assert.deepEqual((await refused('/generate', body)).slice(1), [code, param], JSON.stringify(body).slice(0, 90));
    });
  });

  describe('sampling and several choices', () => {
    const messages = [{ role: 'user', content: 'say it' }];
    const chat = (change: object): Promise<Completion> =>
      answer('/v1/chat/completions', { model: 'pair', messages, max_tokens: 12, ...change });
    const texts = ({ choices }: Completion): string[] => choices.map(({ message }) => message.content);
    before(async () => {
      await made.close();
      made = await readyStage({
        lines: Array.from({ length: 40 }, (_, index) => ({ id: letter('a') + (index % 3), unsure: true })),
        config: { strategy: 'slm', limits: { ...routerDefaults.limits, maxChoices: 4 } },
      });
    });

    it('gives the same for the same seed, choice by choice, and other texts for other seeds and choices', async () => {
      const first = texts(await chat({ temperature: 1, seed: 5, n: 4 }));
      assert.equal(new Set(first).size, 4, 'four different choices');
      assert.deepEqual(texts(await chat({ temperature: 1, seed: 5, n: 4 })), first);
      assert.deepEqual(texts(await chat({ temperature: 1, seed: 5, n: 2 })), first.slice(0, 2), 'a choice does not depend on the others');
      assert.notDeepEqual(texts(await chat({ temperature: 1, seed: 6, n: 4 })), first);
    });

    it('is greedy without a temperature, and with top_k 1', async () => {
      const greedy = 'abcabcabcabc';
      assert.deepEqual(texts(await chat({ n: 2, seed: 3 })), [greedy, greedy]);
      assert.deepEqual(texts(await chat({ temperature: 2, top_k: 1 })), [greedy]);
      assert.deepEqual(texts(await chat({ temperature: 2, top_p: 0.001 })), [greedy]);
    });

    it('reports the seed it drew, which gives the answer again', async () => {
      const first = await chat({ temperature: 1 });
      const seed = (first.r2r as { seed?: number } | undefined)?.seed;
      assert.ok(Number.isInteger(seed) && seed! >= 0 && seed! < 2 ** 32);
      assert.deepEqual(texts(await chat({ temperature: 1, seed })), texts(first));
      assert.equal('seed' in ((await chat({})).r2r ?? {}), false);
    });

    it('samples the same streamed or not, on either route', async () => {
      const whole = texts(await chat({ temperature: 1, seed: 9, n: 3 }));
      const streamed: Record<number, string> = {};
      const roles: number[] = [];
      const body = { model: 'pair', messages, max_tokens: 12, temperature: 1, seed: 9, n: 3, stream: true };
      for await (const event of chunks(await postTo('/v1/chat/completions', body))) {
        if (event === '[DONE]') continue;
        for (const { delta, index } of event.choices as unknown as readonly {
          delta: { role?: string; content?: string };
          index: number;
        }[]) {
          streamed[index] = (streamed[index] ?? '') + (delta.content ?? '');
          if (delta.role) roles.push(index);
        }
      }
      assert.deepEqual(Object.values(streamed), whole);
      assert.deepEqual(roles.toSorted(), [0, 1, 2], 'each begins once');
      const rendered = '<|im_start|>user\nsay it<|im_end|>\n<|im_start|>assistant\n';
      const { choices } = await answer<TextCompletion>('/v1/completions', {
        model: 'pair',
        prompt: rendered,
        max_tokens: 12,
        temperature: 1,
        seed: 9,
        n: 3,
      });
      assert.deepEqual(
        choices.map(({ text }) => text),
        whole,
      );
    });

    it('refuses more choices than are allowed', async () => {
      assert.deepEqual(await refused('/v1/chat/completions', { model: 'pair', messages, n: 5 }), [400, 'invalid_value', 'n']);
    });

    it('reads the prompt once for all choices', async () => {
      const entropy = await readyStage({ lines: cat });
      try {
        const response = await fetch(`${entropy.router.url}/v1/chat/completions`, {
          method: 'POST',
          body: JSON.stringify({ model: 'pair', messages, n: 4 }),
        });
        assert.equal(((await response.json()) as Completion).choices.length, 4);
        const primes = entropy.llms[0]!.calls.filter((call) => call.input_ids.length === entropy.slm.calls[0]!.input_ids.length);
        assert.equal(primes.length, 1, 'whose token is the answer to all four, too');
      } finally {
        await entropy.close();
      }
    });

    it("gives log-probabilities as OpenAI's chat does", async () => {
      for (const stream of [false, true]) {
        const body = { model: 'pair', messages, max_tokens: 3, logprobs: true, top_logprobs: 2, stream };
        const response = await postTo('/v1/chat/completions', body);
        interface Entry {
          token: string;
          logprob: number;
          bytes: number[];
          top_logprobs: { token: string; logprob: number }[];
        }
        const content: Entry[] = [];
        const take = (choice: unknown): void =>
          void content.push(...((choice as { logprobs: { content: Entry[] } | null }).logprobs?.content ?? []));
        if (stream) {
          for await (const event of chunks(response)) if (event !== '[DONE]') event.choices.forEach(take);
        } else ((await response.json()) as Completion).choices.forEach(take);
        assert.deepEqual(
          content.map(({ token, bytes, top_logprobs }) => [token, bytes, top_logprobs.length, top_logprobs[0]?.token]),
          ['a', 'b', 'c'].map((text) => [text, [letter(text)], 2, text]),
        );
        assert.ok(Math.abs(content[0]!.logprob - Math.log(0.3)) < 1e-9, 'untempered');
      }
      const bare = await chat({ logprobs: true, max_tokens: 1 });
      const entry = (bare.choices[0] as unknown as { logprobs: { content: { top_logprobs: unknown[] }[] } }).logprobs.content[0];
      assert.deepEqual(entry?.top_logprobs, []);
    });
  });
});
