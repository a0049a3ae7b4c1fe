import { seededRandom } from '../../src/engine/sampler.ts';

/** One request to put to two servers. */
export interface Trial {
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
}

const vocabulary = 512;
const words = ['hello', 'world', 'The quick brown fox', ' 12 * 7', 'naïve', '日本語', '😀', '\n\n', 'def f(x):', '<|im_end|>', ' the', 'a'];

/** Draws valid requests of every kind, the same ones for the same seed. */
export class TrialSource {
  readonly #random: () => number;
  readonly #prompts: number[][] = [];

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  next(): Trial {
    const kind = this.#pick([
      'logprobs',
      'logprobs',
      'hidden',
      'plain',
      'stops',
      'penalties',
      'batch',
      'text',
      'chat',
      'completion',
    ] as const);
    switch (kind) {
      case 'logprobs':
        return this.#generate({ ...this.#logprobs(), logprob_start_len: this.#pick([-1, -1, 0, 1, 2]) });
      case 'hidden':
        return this.#generate({ ...this.#logprobs(), return_hidden_states: true });
      case 'plain':
        return this.#generate({});
      case 'stops':
        return this.#generate(this.#logprobs(), {
          ignore_eos: false,
          stop: this.#pick([[], ['!'], ['e', 'zz'], 'the', ['\uFFFD']]),
          stop_token_ids: [this.#below(vocabulary), this.#below(vocabulary)],
          min_new_tokens: this.#pick([0, 0, 3]),
          no_stop_trim: this.#chance(0.3),
          skip_special_tokens: this.#chance(0.7),
        });
      case 'penalties':
        return this.#generate(this.#logprobs(), {
          // never both kinds: SGLang without its overlap scheduler applies them in an order that differs from one process to the next
          ...this.#pick([{ frequency_penalty: 0.5, presence_penalty: 0.7 }, { frequency_penalty: -0.5 }, { repetition_penalty: 1.2 }]),
          logit_bias: { [this.#below(vocabulary)]: 3, [this.#below(vocabulary)]: -4.5 },
          // greedy by another road: the values are tempered, the choice is not
          ...this.#pick([{ temperature: 0 }, { temperature: 0.7, top_k: 1 }]),
        });
      case 'batch': {
        const prompts = Array.from({ length: 1 + this.#below(3) }, () => this.#prompt());
        return {
          path: '/generate',
          body: { ...this.#logprobs(), input_ids: prompts, sampling_params: this.#sampling({}), return_hidden_states: this.#chance(0.5) },
        };
      }
      case 'text':
        return { path: '/generate', body: { ...this.#logprobs(), text: this.#text(), sampling_params: this.#sampling({}) } };
      case 'chat':
        return {
          path: '/v1/chat/completions',
          body: {
            model: 'm',
            messages: [{ role: 'user', content: this.#text() }],
            temperature: 0,
            max_tokens: 1 + this.#below(12),
            logprobs: true,
            top_logprobs: 3,
          },
        };
      case 'completion':
        return {
          path: '/v1/completions',
          body: { model: 'm', prompt: this.#text(), temperature: 0, max_tokens: 1 + this.#below(12), logprobs: 3, echo: this.#chance(0.3) },
        };
    }
  }

  #generate(fields: Readonly<Record<string, unknown>>, sampling: Readonly<Record<string, unknown>> = {}): Trial {
    return { path: '/generate', body: { input_ids: this.#prompt(), ...fields, sampling_params: this.#sampling(sampling) } };
  }

  #sampling(more: Readonly<Record<string, unknown>>): Record<string, unknown> {
    return { temperature: 0, max_new_tokens: 3 + this.#below(22), ignore_eos: this.#chance(0.5), ...more };
  }

  #logprobs(): Record<string, unknown> {
    return {
      return_logprob: true,
      top_logprobs_num: this.#pick([5, 20, 100, vocabulary]),
      token_ids_logprob: this.#chance(0.3) ? [this.#below(vocabulary), this.#below(vocabulary)] : undefined,
      return_text_in_logprobs: this.#chance(0.3),
    };
  }

  /** A new prompt, or an earlier one made longer or shorter: then part of it is cached. */
  #prompt(): number[] {
    const earlier = this.#chance(0.4) ? this.#pick(this.#prompts.length > 0 ? this.#prompts : [[1]]) : [];
    const kept = earlier.slice(0, this.#below(earlier.length + 1));
    const prompt = [...kept, ...Array.from({ length: 1 + this.#below(this.#chance(0.1) ? 300 : 40) }, () => this.#below(vocabulary))];
    this.#prompts.push(prompt);
    return prompt;
  }

  #text(): string {
    return Array.from({ length: 1 + this.#below(6) }, () => this.#pick(words)).join(this.#pick(['', ' ']));
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  #pick<T>(values: readonly [T, ...T[]] | readonly T[]): T {
    return values[this.#below(values.length)]!;
  }
}

const sampled = (sampling: unknown): Trial => ({ path: '/generate', body: { input_ids: [1, 2, 3], sampling_params: sampling } });
const generate = (body: Readonly<Record<string, unknown>>): Trial => ({
  path: '/generate',
  body: { sampling_params: { max_new_tokens: 1, temperature: 0 }, ...body },
});
const chat = (body: Readonly<Record<string, unknown>>): Trial => ({
  path: '/v1/chat/completions',
  body: { model: 'm', messages: [{ role: 'user', content: 'hi' }], max_tokens: 1, ...body },
});
const completion = (body: Readonly<Record<string, unknown>>): Trial => ({
  path: '/v1/completions',
  body: { model: 'm', prompt: 'hi', max_tokens: 1, ...body },
});

/** Requests that are wrong, none of which kills a real server. */
export const faults: readonly Trial[] = [
  ...[{ temperature: -0.1 }, { top_p: 0 }, { top_p: 1.1 }, { top_k: 0 }, { top_k: -2 }, { min_p: 2 }, { max_new_tokens: -3 }].map(sampled),
  ...[{ frequency_penalty: 3 }, { presence_penalty: -3 }, { repetition_penalty: 0 }, { min_new_tokens: 9, max_new_tokens: 3 }].map(sampled),
  ...[
    { logit_bias: { 600: 1 } },
    { logit_bias: { x: 1 } },
    { max_new_tokens: '3' },
    { temperature: 'hot' },
    { stop: [3] },
    { stop: 5 },
  ].map(sampled),
  ...[{ stop_token_ids: 5 }, { ignore_eos: 1 }, { n: 1.5 }, { max_tokens: 3 }, { logit_bias: [1] }, { max_new_tokens: 2050 }, []].map(
    sampled,
  ),
  ...[{}, { text: 5 }, { text: ['a', 5] }, { input_ids: 'abc' }, { input_ids: [1, 2.5] }, { input_ids: [1, 'a'] }, { input_ids: [] }].map(
    generate,
  ),
  ...[
    { text: 'a', return_logprob: 1 },
    { text: 'a', return_logprob: true, token_ids_logprob: [600] },
    { text: 'a', stream: 'yes' },
  ].map(generate),
  ...[
    { text: 'a', return_hidden_states: 'last' },
    { text: ['a', 'b'], rid: ['x'] },
    { text: ['a', 'b'], rid: ['x', 'x'] },
  ].map(generate),
  ...[
    { text: 'a', return_logprob: true, logprob_start_len: 7 },
    { text: 'a', lora_path: 'x' },
    { text: 'a', top_logprobs_num: 'x' },
  ].map(generate),
  ...[{ input_ids: Array.from({ length: 2048 }, () => 5) }, { input_ids: Array.from({ length: 2044 }, () => 5) }].map(generate),
  ...[
    { messages: [] },
    { messages: 'hi' },
    { messages: [{ role: 'user' }] },
    { messages: [{ role: 'alien', content: 'x' }] },
    { temperature: -5 },
  ].map(chat),
  ...[{ max_tokens: 3000 }, { max_tokens: -5 }, { messages: undefined }, { top_p: 7 }].map(chat),
  ...[{ prompt: '' }, { prompt: [] }, { prompt: undefined }, { max_tokens: 0 }, { max_tokens: -1 }, { temperature: -1 }].map(completion),
  ...[
    { stream: 'maybe' },
    { return_logprob: 'x' },
    { logprob_start_len: 1.5 },
    { top_logprobs_num: '3' },
    { rid: 5 },
    { stream: null },
  ].map((field) => generate({ text: 'a', ...field })),
  ...[
    { token_ids_logprob: 'x' },
    { token_ids_logprob: [1.5] },
    { return_hidden_states: null },
    { sampling_params: 'x' },
    { input_ids: [1, [2]] },
  ].map((field) => generate({ text: 'a', ...field })),
  ...[
    { stop_token_ids: [1.5] },
    { skip_special_tokens: 'no' },
    { sampling_seed: 1.5 },
    { stop: Array.from({ length: 33 }, () => 'x') },
  ].map(sampled),
  ...[{ messages: [{ role: 'user', content: 5 }] }, { messages: [5] }, { max_tokens: 'x' }, { temperature: 'x' }, { stream: 'x' }].map(
    chat,
  ),
  ...[{ top_logprobs: 'x' }, { logprobs: 3 }, { stop: 5 }, { top_k: 0 }, { messages: [{ content: 'hi' }] }, { n: 'x' }, { stop: [5] }].map(
    chat,
  ),
  ...[
    { prompt: 5 },
    { prompt: [1, 'a'] },
    { logprobs: 'x' },
    { max_tokens: 'x' },
    { echo: 'x' },
    { stream: 5 },
    { stop: 5 },
    { n: 'x' },
  ].map(completion),
];
