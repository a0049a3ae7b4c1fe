import type { GeneratedToken, TopLogprobs } from '../sglang/index.ts';
import { randomAt } from './counter-random.ts';

/** How a request wants its tokens chosen. */
export interface Sampling {
  /** 0: always the best token. */
  readonly temperature: number;
  /** Nucleus: the fewest best tokens whose probabilities reach this sum, 0 < topP <= 1. */
  readonly topP: number;
  /** At most this many of the best tokens; 0: no bound. */
  readonly topK: number;
  readonly seed: number;
  /** Index of the choice among the request's `n`. */
  readonly choice: number;
}

/** Entries of a distribution that sampling chooses from; all that the engines are asked for. */
export const sampledLogprobs = 100;

/** Chooses tokens from what the engines answer, which is always greedy. A choice depends on its position only, never on how it was reached. */
export interface Sampler {
  /** Entries of each distribution it needs; 0: none. */
  readonly topLogprobs: number;
  /** @param position index in the output, 0-based */
  choose(token: GeneratedToken, position: number): number;
}

export const greedySampler: Sampler = { topLogprobs: 0, choose: ({ id }) => id };

/**
 * The sampler of a request. Tempered, then cut to `topK`, then to `topP`, each renormalised; one draw a position from a counter-based
 * generator, so that block lengths, look-ahead and retries cannot change the outcome. Both models use the same draw at a position.
 *
 * @param validIds ids from this on are unknown to one of the models and never chosen
 */
export function samplerOf(sampling: Sampling, validIds = Number.POSITIVE_INFINITY): Sampler {
  const { temperature, seed, choice } = sampling;
  if (temperature === 0) return greedySampler;
  return {
    topLogprobs: sampledLogprobs,
    choose: ({ id, top }, position) => (top ? (draw(top, sampling, validIds, randomAt(seed, choice, position)) ?? id) : id),
  };
}

/** @param uniform in [0, 1) @returns undefined when no entry may be chosen */
function draw(top: TopLogprobs, { temperature, topP, topK }: Sampling, validIds: number, uniform: number): number | undefined {
  const ids: number[] = [];
  const weights: number[] = [];
  let best: number | undefined;
  for (const [index, logprob] of top.logprobs.entries()) {
    const id = top.ids[index] ?? validIds;
    if (id >= validIds || logprob === Number.NEGATIVE_INFINITY) continue;
    if (topK > 0 && ids.length === topK) break;
    best ??= logprob;
    ids.push(id);
    weights.push(Math.exp((logprob - best) / temperature));
  }
  const total = sum(weights);
  let kept = 0;
  let mass = 0;
  while (kept < weights.length && (kept === 0 || mass < topP * total)) mass += weights[kept++] ?? 0;
  let left = uniform * mass;
  for (let index = 0; index < kept; index++) {
    left -= weights[index] ?? 0;
    if (left < 0) return ids[index];
  }
  return ids[kept - 1];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
