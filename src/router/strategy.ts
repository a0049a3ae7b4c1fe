import type { SignalName, Signals } from './scoring/signals.ts';

/** Entries of the small model's distribution that signals are computed from (upstream's `logits_size`). */
export const scoredLogprobs = 100;

/** A drafted token as a strategy sees it. */
export interface RoutedRow {
  readonly id: number;
  /** Index in the output, 0-based. */
  readonly position: number;
  readonly signals: Signals;
}

/**
 * Decides token by token who supplies it, from the state that the emitted prefix left behind. Pure: the same inputs give the same
 * outputs, and a state is never changed, so that decisions can be taken ahead and taken back.
 */
export interface Strategy<State = unknown> {
  /** What must be known of each row. */
  readonly signals: readonly SignalName[];
  readonly initial: State;
  decide(state: State, row: RoutedRow): { readonly state: State; readonly divergent: boolean };
}
