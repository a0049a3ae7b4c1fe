import type { SignalName } from '../scoring/signals.ts';
import type { Strategy } from '../strategy.ts';
import { isBelow } from './single-precision.ts';

/** A signal, and the value from which on it speaks for the LLM. */
export interface SignalThreshold {
  readonly signal: SignalName;
  readonly threshold: number;
}

/**
 * Divergent where every given signal has reached its threshold, whatever came before: upstream's `NeuralSwitching`, `EntropySwitching` and
 * `ImmediateSwitching`. A token without one of them goes to the LLM.
 */
export function thresholdStrategy(...thresholds: readonly SignalThreshold[]): Strategy<null> {
  return {
    signals: thresholds.map(({ signal }) => signal),
    initial: null,
    decide(state, { signals }) {
      const unknown = thresholds.some(({ signal }) => Number.isNaN(signals[signal]));
      return { state, divergent: unknown || thresholds.every(({ signal, threshold }) => !isBelow(signals[signal], threshold)) };
    },
  };
}
