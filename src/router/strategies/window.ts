import type { SignalName } from '../scoring/signals.ts';
import type { Strategy } from '../strategy.ts';
import { isBelow, mean } from './single-precision.ts';
import type { SignalThreshold } from './threshold.ts';

export interface WindowState {
  /** Who supplied the token before; the LLM, before the first. */
  readonly supplier: 'slm' | 'llm';
  /** The signal of the last tokens the LLM supplied in a row, oldest first; empty while it is the SLM's turn. */
  readonly window: readonly number[];
}

export interface WindowOptions extends SignalThreshold {
  readonly windowSize: number;
  /** Whether the token at which the LLM took over counts in its window. */
  readonly countsFirst: boolean;
  /** While it is the SLM's turn, a token below this one is simple too. */
  readonly orBelow?: SignalThreshold;
}

/**
 * The LLM takes over at the first token whose signal reaches the threshold, and gives back once the average over its last `windowSize`
 * tokens is below: upstream's `SingleRollingWindowSwitching`, `NeuralRollingWindowSwitching` and, without `countsFirst`,
 * `DuoRollingWindowSwitching` (whose other window nothing reads). A token without the signals goes to the LLM and is not averaged.
 */
export function windowStrategy({ signal, threshold, windowSize, countsFirst, orBelow }: WindowOptions): Strategy<WindowState> {
  const signalNames: readonly SignalName[] = orBelow ? [signal, orBelow.signal] : [signal];
  return {
    signals: signalNames,
    initial: { supplier: 'llm', window: [] },
    decide(state, { signals }) {
      if (signalNames.some((name) => Number.isNaN(signals[name]))) return { state: { ...state, supplier: 'llm' }, divergent: true };
      const value = signals[signal];
      if (state.supplier === 'slm') {
        const simple = isBelow(value, threshold) || (orBelow !== undefined && isBelow(signals[orBelow.signal], orBelow.threshold));
        return simple ? { state, divergent: false } : { state: { supplier: 'llm', window: countsFirst ? [value] : [] }, divergent: true };
      }
      const window = [...state.window, value].slice(-windowSize);
      return isBelow(mean(window), threshold)
        ? { state: { supplier: 'slm', window: [] }, divergent: false }
        : { state: { supplier: 'llm', window }, divergent: true };
    },
  };
}
