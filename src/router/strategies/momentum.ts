import type { Strategy } from '../strategy.ts';
import { isBelow } from './single-precision.ts';

export interface MomentumState {
  /** Who supplied the token before; the LLM, before the first. */
  readonly supplier: 'slm' | 'llm';
  /** How simple the last tokens were, from 0 to 1. */
  readonly momentum: number;
}

export interface MomentumOptions {
  readonly aleatoricThreshold: number;
  readonly momentumFactor: number;
  readonly slmToLLMThreshold: number;
  readonly llmToSLMThreshold: number;
}

/**
 * An exponential average of "this token is simple" (its aleatoric uncertainty is below the threshold) decides, with one bound for taking
 * over and a higher one for giving back: upstream's `MomentumSwitching`. A token whose uncertainty cannot be known is not simple and goes
 * to the LLM.
 */
export function momentumStrategy(options: MomentumOptions): Strategy<MomentumState> {
  const { aleatoricThreshold, momentumFactor, slmToLLMThreshold, llmToSLMThreshold } = options;
  return {
    signals: ['aleatoric'],
    initial: { supplier: 'llm', momentum: 0 },
    decide({ supplier, momentum: before }, { signals: { aleatoric } }) {
      const simple = isBelow(aleatoric, aleatoricThreshold) ? 1 : 0;
      const momentum = momentumFactor * before + (1 - momentumFactor) * simple;
      const bound = supplier === 'slm' ? slmToLLMThreshold : llmToSLMThreshold;
      const divergent = Number.isNaN(aleatoric) || momentum <= bound;
      return { state: { supplier: divergent ? 'llm' : 'slm', momentum }, divergent };
    },
  };
}
