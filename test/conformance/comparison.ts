/**
 * How far numbers may lie apart. The recorded SGLang computed in bfloat16; so does our engine, with the same roundings in the same places, so what
 * is left is the order of summation, which now and then tips a value over to the neighbouring bfloat16 (a relative step of 2^-8 to 2^-7), and
 * what later layers make of that.
 */
export interface Bounds {
  /** Largest difference of two log-probabilities. */
  readonly logprob: number;
  /** Largest difference of two hidden-state values. */
  readonly hidden: number;
  /** How far below the best log-probability a token may lie that greedy decoding on the other side chose. */
  readonly tie: number;
}

export interface Difference {
  readonly path: string;
  readonly problem: string;
}

/** The largest differences seen, to be reported. */
export interface Extremes {
  logprob: number;
  hidden: number;
}

type Kind = 'exact' | 'typed' | 'logprob' | 'hidden' | 'ranking' | 'ignored';

/** What is compared how; the first rule whose pattern matches a path decides. Paths look like `meta_info.hidden_states.0.1`. */
export type Rules = readonly (readonly [pattern: RegExp, kind: Kind])[];

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

/** Compares two JSON values: same keys, same types, and values as the rules say (exactly, unless a rule says otherwise). */
export function compareJson(expected: unknown, actual: unknown, rules: Rules, bounds: Bounds, extremes: Extremes, path = ''): Difference[] {
  const kind = rules.find(([pattern]) => pattern.test(path))?.[1] ?? 'exact';
  if (kind === 'ignored') return [];
  if (typeOf(expected) !== typeOf(actual)) return [{ path, problem: `is ${describe(actual)} instead of ${describe(expected)}` }];
  if (kind === 'ranking' && expected !== null) return compareRankings(ranking(expected), ranking(actual), bounds, extremes, path);
  if (Array.isArray(expected) && Array.isArray(actual)) {
    if (expected.length !== actual.length) return [{ path, problem: `has ${actual.length} entries instead of ${expected.length}` }];
    return expected.flatMap((item, index) => compareJson(item, actual[index], rules, bounds, extremes, join(path, String(index))));
  }
  if (typeof expected === 'object' && expected !== null && typeof actual === 'object' && actual !== null) {
    const [wanted, found] = [Object.entries(expected), new Map(Object.entries(actual))];
    const known = new Set(wanted.map(([key]) => key));
    return [
      ...wanted.flatMap(([key, value]) =>
        found.has(key)
          ? compareJson(value, found.get(key), rules, bounds, extremes, join(path, key))
          : [{ path: join(path, key), problem: 'is missing' }],
      ),
      ...[...found.keys()].filter((key) => !known.has(key)).map((key) => ({ path: join(path, key), problem: 'is one key too many' })),
    ];
  }
  if (kind === 'typed') return [];
  if ((kind === 'logprob' || kind === 'hidden') && typeof expected === 'number' && typeof actual === 'number') {
    const distance = Math.abs(expected - actual);
    extremes[kind] = Math.max(extremes[kind], distance);
    return distance <= bounds[kind]
      ? []
      : [{ path, problem: `is ${actual} instead of ${expected}: ${distance} apart, more than ${bounds[kind]}` }];
  }
  return expected === actual ? [] : [{ path, problem: `is ${describe(actual)} instead of ${describe(expected)}` }];
}

type Ranking = readonly (readonly [key: string, logprob: number])[];

/**
 * The most probable tokens, best first, in any of the three shapes in which they are answered: `[[lp, id, text]]`, `[{token, logprob}]`,
 * `{text: lp}` (whose order JavaScript does not keep). Several tokens may have the same text.
 */
function ranking(value: unknown): Ranking {
  if (!Array.isArray(value)) return Object.entries(value as Readonly<Record<string, number>>).sort(([, a], [, b]) => b - a);
  return value.map((entry: unknown) => {
    if (Array.isArray(entry)) return [JSON.stringify(entry.slice(1)), entry[0] as number];
    const { logprob, ...rest } = entry as { readonly logprob: number };
    return [JSON.stringify(rest), logprob];
  });
}

/** Equally long, the values at each rank near; the tokens the same but for those near a neighbour or the end of the list. */
function compareRankings(expected: Ranking, actual: Ranking, bounds: Bounds, extremes: Extremes, path: string): Difference[] {
  if (expected.length !== actual.length) return [{ path, problem: `has ${actual.length} ranks instead of ${expected.length}` }];
  const lowest = Math.min(...actual.map(([, logprob]) => logprob));
  return expected.flatMap(([key, logprob], rank) => {
    const same = actual.filter(([other]) => other === key).map(([, value]) => Math.abs(logprob - value));
    // a token that is not in the other list may have just missed it
    const distances = [Math.abs(logprob - (actual[rank]?.[1] ?? NaN)), Math.min(Math.abs(logprob - lowest), ...same)];
    extremes.logprob = Math.max(extremes.logprob, ...distances);
    if (distances.every((distance) => distance <= bounds.logprob)) return [];
    return [{ path: join(path, String(rank)), problem: `${key} differs by ${distances.join(' and ')}` }];
  });
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

function describe(value: unknown): string {
  const text = value === undefined ? 'undefined' : JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

/** Fields of a `/generate` answer that differ from run to run by nature. */
export const generateRules: Rules = [
  [/meta_info\.(id|e2e_latency|queue_time|forward_entry_time|prefill_finished_time|first_token_latency|decode_throughput)$/, 'typed'],
  [/meta_info\.(request_received|request_finished|api_server_dispatch_finish|response_sent_to_client)_ts$/, 'typed'],
  [/meta_info\.hidden_states\./, 'hidden'],
  [/meta_info\.(in|out)put_token_logprobs\.\d+\.0$/, 'logprob'],
  [/meta_info\.(in|out)put_token_ids_logprobs\.\d+\.\d+\.0$/, 'logprob'],
  [/meta_info\.(in|out)put_top_logprobs\.\d+$/, 'ranking'],
];

/** Fields of an OpenAI answer that differ from run to run by nature. */
export const openAiRules: Rules = [
  [/^(id|created)$/, 'typed'],
  [/\.logprob$/, 'logprob'],
  [/\.token_logprobs\.\d+$/, 'logprob'],
  [/\.logprobs\.top_logprobs\.\d+$/, 'ranking'],
  [/\.logprobs\.content\.\d+\.top_logprobs$/, 'ranking'],
  [/\.hidden_states\.\d+$/, 'hidden'],
];
