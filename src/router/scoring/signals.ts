import type { TopLogprobs } from '../../sglang/index.ts';

/** What a strategy can look at in a drafted token. */
export const signalNames = ['probability', 'entropy', 'aleatoric', 'epistemic'] as const;
export type SignalName = (typeof signalNames)[number];

/** A drafted token's numbers; NaN where one was not asked for, or cannot be had. */
export interface Signals {
  /** The router network's probability that this token is divergent. */
  readonly probability: number;
  /** Entropy in nats of the SLM's distribution: its best 100 and the remaining mass as one more. */
  readonly entropy: number;
  /** Aleatoric and epistemic uncertainty of the ten best raw logits as Dirichlet evidence (upstream's `compute_logu`). */
  readonly aleatoric: number;
  readonly epistemic: number;
}

export const noSignals: Signals = { probability: Number.NaN, entropy: Number.NaN, aleatoric: Number.NaN, epistemic: Number.NaN };

/** A drafted token to be scored. `id` may differ from what the SLM's server drafted: sampling happens in the router. */
export interface ScorableRow {
  readonly id: number;
  readonly top?: TopLogprobs;
  readonly hidden?: Float32Array;
}

/** Gives each row its signals. A row's signals never depend on its neighbours. */
export interface Scorer {
  /** Entries of each distribution that must be asked of the SLM; 0: none. */
  readonly topLogprobs: number;
  readonly hiddenStates: boolean;
  /** One answer a row, in order. @throws the signal's reason, or ScoringError when the network cannot be run */
  score(rows: readonly ScorableRow[], signal: AbortSignal): Promise<readonly Signals[]>;
}
