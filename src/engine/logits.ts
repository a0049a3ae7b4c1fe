import type { SamplingParams } from './sampling-params.ts';

/** Log-probabilities of one position. */
export interface TokenLogprobs {
  /** Of the token that stands there. */
  readonly logprob: number;
  /** The most probable tokens, best first. */
  readonly top: Ranked;
  /** Of the tokens a request asked about, in its order. */
  readonly chosen: readonly number[];
}

export interface Ranked {
  readonly ids: readonly number[];
  readonly logprobs: readonly number[];
}

/** Counts of the tokens a request has produced so far. */
export type OutputCounts = ReadonlyMap<number, number>;

/** Adds bias and penalties to a row of logits, in place, in the order SGLang does: additive ones, the multiplicative one, then the bias. */
export function penalize(
  logits: Float32Array,
  params: SamplingParams,
  counts: OutputCounts,
  stopIds: ReadonlySet<number>,
  outputLength: number,
): void {
  const { frequencyPenalty, presencePenalty, repetitionPenalty } = params;
  if (frequencyPenalty !== 0 || presencePenalty !== 0) {
    for (const [id, count] of counts) {
      let penalty = 0;
      for (let times = 0; times < count; times++) penalty = Math.fround(penalty + frequencyPenalty);
      logits[id] = Math.fround((logits[id] ?? 0) - penalty) - presencePenalty;
    }
  }
  if (outputLength < params.minNewTokens) {
    for (const id of stopIds) if (id >= 0 && id < logits.length) logits[id] = -Infinity;
  }
  if (repetitionPenalty !== 1) {
    for (const id of counts.keys()) {
      const value = logits[id] ?? 0;
      logits[id] = value < 0 ? value * repetitionPenalty : value / repetitionPenalty;
    }
  }
  for (const [id, bias] of params.logitBias) logits[id] = (logits[id] ?? 0) + bias;
}

/** Index of the largest value; the first of equals. */
export function argmax(values: Float32Array): number {
  let best = 0;
  let highest = -Infinity;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (value > highest) {
      highest = value;
      best = index;
    }
  }
  return best;
}

/** log softmax over the row, in place. */
export function logSoftmax(row: Float32Array): void {
  let highest = -Infinity;
  for (const value of row) if (value > highest) highest = value;
  let sum = 0;
  for (const value of row) sum += Math.exp(value - highest);
  const shift = highest + Math.log(sum);
  for (let index = 0; index < row.length; index++) row[index] = Math.max((row[index] ?? 0) - shift, lowest);
}
const lowest = -3.4028234663852886e38;

/**
 * The `count` largest values, best first; of equals the one with the lower index. A heap of `count` candidates with the worst on top: most
 * values are turned away by one comparison.
 */
export function largest(values: Float32Array, count: number): Ranked {
  const size = Math.min(count, values.length);
  if (size === 0) return { ids: [], logprobs: [] };
  const heap = new Int32Array(size);
  const worse = (a: number, b: number) => {
    const difference = (values[a] ?? 0) - (values[b] ?? 0);
    return difference < 0 || (difference === 0 && a > b);
  };
  const sink = (from: number, length: number) => {
    const moved = heap[from] ?? 0;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && worse(heap[child + 1] ?? 0, heap[child] ?? 0)) child++;
      if (!worse(heap[child] ?? 0, moved)) break;
      heap[at] = heap[child] ?? 0;
      at = child;
    }
    heap[at] = moved;
  };
  for (let index = 0; index < size; index++) heap[index] = index;
  for (let at = size >> 1; at-- > 0;) sink(at, size);
  for (let index = size; index < values.length; index++) {
    if (!worse(heap[0] ?? 0, index)) continue;
    heap[0] = index;
    sink(0, size);
  }
  for (let end = size - 1; end > 0; end--) {
    const worst = heap[0] ?? 0;
    heap[0] = heap[end] ?? 0;
    heap[end] = worst;
    sink(0, end);
  }
  const ids = [...heap];
  return { ids, logprobs: ids.map((id) => values[id] ?? 0) };
}

/** Reads what a request wants to know from a row of log-probabilities. */
export function describe(logprobs: Float32Array, token: number, topCount: number, tokenIds: readonly number[]): TokenLogprobs {
  return { logprob: logprobs[token] ?? 0, top: largest(logprobs, topCount), chosen: tokenIds.map((id) => logprobs[id] ?? 0) };
}
