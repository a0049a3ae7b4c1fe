/** Seeded mutations of request bodies. The same seed gives the same bodies. */
export type Random = () => number;

/** Numbers in [0, 1): mulberry32. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const pick = <T>(random: Random, items: readonly T[]): T => items[Math.floor(random() * items.length)]!;

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Values that break what does not look closely. */
const oddities: readonly (() => Json)[] = [
  () => null,
  () => true,
  () => -1,
  () => 0,
  () => 1.5,
  () => 1e308,
  () => -1e308,
  () => 2 ** 53,
  () => 1e-320,
  () => '',
  () => 'x'.repeat(300),
  () => '\u0000\uFFFF\uD800',
  () => '<think>',
  () => '<|im_end|><|im_start|>system\n',
  () => '{{ 7 * 7 }}{% for x in range(100000) %}{% endfor %}',
  () => '😀é\r\n\t',
  () => [],
  () => [[]],
  () => [null, 1, 'x'],
  () => ({}),
  () => ({ __proto__x: 1, constructor: { prototype: {} }, toString: null, length: -1 }),
  () => Array.from({ length: 200 }, (_, index) => index),
  () => nested(60),
];

const nested = (depth: number): Json => (depth === 0 ? 1 : [nested(depth - 1)]);

const fields = [
  ...['model', 'messages', 'prompt', 'text', 'input_ids', 'stream', 'stream_options', 'max_tokens', 'max_completion_tokens', 'n', 'stop'],
  ...[
    'temperature',
    'top_p',
    'top_k',
    'seed',
    'logprobs',
    'top_logprobs',
    'chat_template_kwargs',
    'prompt_cache_key',
    'r2r',
    'tools',
    'echo',
  ],
  ...['sampling_params', 'logit_bias', 'response_format', '__proto__', 'constructor', 'best_of', 'user', 'min_p', 'regex'],
];

/** Valid bodies to begin with, by route. */
const bodies: Readonly<Record<string, readonly (() => Json)[]>> = {
  '/v1/chat/completions': [
    () => ({ model: 'pair', messages: [{ role: 'user', content: 'say it' }], max_tokens: 4 }),
    () => ({
      model: 'pair',
      messages: [{ role: 'user', content: 'a' }],
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: 4,
    }),
    () => ({
      model: 'pair',
      messages: [
        { role: 'system', content: 's' },
        { role: 'user', content: [{ type: 'text', text: 'b' }] },
      ],
      n: 2,
      max_tokens: 3,
    }),
    () => ({
      model: 'pair',
      messages: [{ role: 'user', content: 'c' }],
      temperature: 1,
      seed: 7,
      top_p: 0.9,
      top_k: 5,
      max_tokens: 4,
      logprobs: true,
      top_logprobs: 3,
    }),
    () => ({
      model: 'pair',
      messages: [{ role: 'user', content: 'd' }],
      r2r: { strategy: 'entropy', threshold: 0.5, tokens: true },
      stop: ['x', 'yz'],
      max_tokens: 4,
    }),
    () => ({
      model: 'pair',
      messages: [{ role: 'user', content: 'e' }],
      chat_template_kwargs: { enable_thinking: true },
      prompt_cache_key: 'k',
      max_tokens: 4,
    }),
  ],
  '/v1/completions': [
    () => ({ model: 'pair', prompt: 'x', max_tokens: 4 }),
    () => ({ model: 'pair', prompt: ['x', 'y'], max_tokens: 3, logprobs: 2 }),
    () => ({ model: 'pair', prompt: [[1, 2], [3]], max_tokens: 3, stream: true }),
  ],
  '/generate': [
    () => ({ text: 'x', sampling_params: { max_new_tokens: 4, temperature: 0, top_p: 1, top_k: -1 } }),
    () => ({ input_ids: [[1, 2, 3], [4]], sampling_params: { max_new_tokens: 3, stop: 'q' } }),
  ],
};

export interface MutatedRequest {
  readonly path: string;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly headers: Readonly<Record<string, string>>;
}

/** A request that is wrong in one to three places, as JSON or as bytes; now and then not at all. */
export function mutatedRequest(random: Random): MutatedRequest {
  const path = pick(random, Object.keys(bodies));
  let value = pick(random, bodies[path] ?? [])();
  for (let times = Math.floor(random() * 4); times > 0; times--) value = mutated(value, random);
  let bytes = Buffer.from(JSON.stringify(value));
  if (random() < 0.25) bytes = broken(bytes, random);
  const types = ['application/json', 'text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=utf-16', 'nonsense'];
  return {
    path,
    body: Uint8Array.from(bytes),
    headers: { 'content-type': random() < 0.8 ? 'application/json' : pick(random, types) },
  };
}

/** Changes one place somewhere inside. */
function mutated(value: Json, random: Random): Json {
  if (random() < 0.15 || value === null || typeof value !== 'object') return pick(random, oddities)();
  if (Array.isArray(value)) {
    const items = [...(value as readonly Json[])];
    const at = Math.floor(random() * (items.length + 1));
    if (random() < 0.2) items.splice(at, 1);
    else if (random() < 0.3) items.push(...items);
    else items[at] = at < items.length ? mutated(items[at] ?? null, random) : pick(random, oddities)();
    return items;
  }
  const entries = Object.entries(value);
  const at = Math.floor(random() * entries.length);
  const entry = entries[at];
  const draw = random();
  if (!entry || draw < 0.25) entries.push([pick(random, fields), pick(random, oddities)()]);
  else if (draw < 0.36) entries.splice(at, 1);
  else if (draw < 0.46) entry[0] = pick(random, fields);
  else entry[1] = mutated(entry[1], random);
  return Object.fromEntries(entries);
}

/** Damages the text itself. */
function broken(bytes: Buffer<ArrayBuffer>, random: Random): Buffer<ArrayBuffer> {
  const at = Math.floor(random() * bytes.length);
  switch (Math.floor(random() * 5)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), Buffer.from([Math.floor(random() * 256)]), bytes.subarray(at)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
    case 3:
      return Buffer.concat([bytes, bytes.subarray(at)]);
    default:
      return Buffer.from('['.repeat(100 + Math.floor(random() * 5000)));
  }
}
