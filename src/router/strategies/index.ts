import { optionDefaults, type StrategyName, type StrategyOptions } from '../../api/strategies.ts';
import type { Strategy } from '../strategy.ts';
import { momentumStrategy } from './momentum.ts';
import { randomStrategy } from './random.ts';
import { thresholdStrategy, type SignalThreshold } from './threshold.ts';
import { windowStrategy } from './window.ts';

/** Every token stays with the SLM. */
const slmStrategy: Strategy<null> = { signals: [], initial: null, decide: (state) => ({ state, divergent: false }) };

/**
 * The strategy of that name; 'llm' decides nothing, the token loop asks the LLM alone.
 *
 * @param threshold of strategies neural, neural_rolling (probability) and entropy (nats); the others take none
 * @throws TypeError when such a strategy gets none
 */
export function strategyOf(name: StrategyName, threshold: number | undefined, options: StrategyOptions): Strategy | 'llm' {
  const {
    aleatoricThreshold = optionDefaults.aleatoricThreshold,
    momentumFactor = optionDefaults.momentumFactor,
    slmToLLMThreshold = optionDefaults.slmToLLMThreshold,
    llmToSLMThreshold = optionDefaults.llmToSLMThreshold,
    windowSize = optionDefaults.windowSize,
    llmProbability = optionDefaults.llmProbability,
    seed = optionDefaults.seed,
  } = options;
  const aleatoric = { signal: 'aleatoric', threshold: aleatoricThreshold } as const;
  switch (name) {
    case 'neural':
      return thresholdStrategy({ signal: 'probability', threshold: required(name, threshold) });
    case 'neural_rolling':
      return windowStrategy({ signal: 'probability', threshold: required(name, threshold), windowSize, countsFirst: true });
    case 'entropy':
      return thresholdStrategy({ signal: 'entropy', threshold: required(name, threshold) });
    case 'immediate':
      return thresholdStrategy(...immediateThresholds(options));
    case 'momentum':
      return momentumStrategy({ aleatoricThreshold, momentumFactor, slmToLLMThreshold, llmToSLMThreshold });
    case 'rolling': {
      const orBelow = { signal: 'entropy', threshold: options.entropyThreshold ?? optionDefaults.rollingEntropyThreshold } as const;
      return windowStrategy({ ...aleatoric, windowSize, countsFirst: true, orBelow });
    }
    case 'duo_rolling':
      return windowStrategy({ ...aleatoric, windowSize, countsFirst: false });
    case 'random':
      return randomStrategy({ llmProbability, seed });
    case 'slm':
      return slmStrategy;
    case 'llm':
      return 'llm';
  }
}

function required(name: StrategyName, threshold: number | undefined): number {
  if (threshold === undefined) throw new TypeError(`strategy ${name} needs a threshold`);
  return threshold;
}

/** Those that are given; the aleatoric one alone when none is. */
function immediateThresholds({ aleatoricThreshold, epistemicThreshold, entropyThreshold }: StrategyOptions): readonly SignalThreshold[] {
  const given = [
    { signal: 'aleatoric', threshold: aleatoricThreshold },
    { signal: 'epistemic', threshold: epistemicThreshold },
    { signal: 'entropy', threshold: entropyThreshold },
  ] as const;
  const active = given.flatMap(({ signal, threshold }) => (threshold === undefined ? [] : [{ signal, threshold }]));
  return active.length > 0 ? active : [{ signal: 'aleatoric', threshold: optionDefaults.aleatoricThreshold }];
}
