import type { TopLogprobs } from '../sglang/index.ts';

/** Who supplied a token: the small model, the large one, or the small one because no large one answered. */
export const tokenSources = ['slm', 'llm', 'fallback'] as const;
export type TokenSource = (typeof tokenSources)[number];

export interface EmittedToken {
  readonly id: number;
  readonly source: TokenSource;
  /** Distribution (untempered) of the model that supplied it; only where it was asked for. */
  readonly top?: TopLogprobs;
}

/** Why generation ended: an end token was emitted, or no more tokens may be. */
export type LoopEnd = 'stop' | 'length';
