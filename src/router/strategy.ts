import type { GeneratedToken } from '../sglang/index.ts';
import { entropy } from './entropy.ts';

/** Entries of the small model's distribution that scores are computed from (upstream's `logits_size`). */
export const scoredLogprobs = 100;

/** Gives each drafted token of a block a number. A token's score never depends on its neighbours in the block. */
export interface Scorer {
  /** Entries of each distribution the scores need; 0: none. */
  readonly topLogprobs: number;
  readonly hiddenStates: boolean;
  score(rows: readonly GeneratedToken[]): Promise<readonly number[]>;
}

/** Decides token by token who supplies it, from the state that the emitted prefix left behind. Pure: the same inputs give the same outputs. */
export interface Strategy<State> {
  readonly initial: State;
  decide(state: State, row: { readonly id: number; readonly score: number }): { readonly state: State; readonly divergent: boolean };
}

export const entropyScorer: Scorer = {
  topLogprobs: scoredLogprobs,
  hiddenStates: false,
  score: (rows) => Promise.resolve(rows.map((row) => (row.top ? entropy(row.top) : Number.NaN))),
};

/** For strategies that look at no score. */
export const noScorer: Scorer = {
  topLogprobs: 0,
  hiddenStates: false,
  score: (rows) => Promise.resolve(rows.map(() => 0)),
};

/** Divergent where the score reaches `threshold` (inclusive, as upstream's `>=`); a score that is no number goes to the large model. */
export function thresholdStrategy(threshold: number): Strategy<undefined> {
  return { initial: undefined, decide: (state, row) => ({ state, divergent: !(row.score < threshold) }) };
}

/** Every token stays with the small model. */
export const slmStrategy: Strategy<undefined> = { initial: undefined, decide: (state) => ({ state, divergent: false }) };
