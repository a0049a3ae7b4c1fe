import { randomAt } from '../counter-random.ts';
import type { Strategy } from '../strategy.ts';

/** Apart from the streams that tokens are sampled from (one a choice), so that who supplies a token says nothing about which it is. */
const stream = 0xffff_ffff;

/**
 * Sends a share of the tokens to the LLM by chance: upstream's `RandomSwitching`, whose draws follow one another in one sequence for all
 * requests. Here a draw belongs to its position, so that block length and look-ahead cannot change it.
 */
export function randomStrategy({ llmProbability, seed }: { readonly llmProbability: number; readonly seed: number }): Strategy<null> {
  return {
    signals: [],
    initial: null,
    decide: (state, { position }) => ({ state, divergent: randomAt(seed, stream, position) < llmProbability }),
  };
}
