import { z } from 'zod';

/**
 * Who supplies each token. The names are upstream's (`switching_strategy`), so that its configurations and papers can be read beside ours;
 * `slm` and `llm` send every token to one side (baselines). Upstream's `neural_multi_input` raises NotImplementedError there and is no
 * strategy here.
 */
export const strategies = [
  'neural',
  'neural_rolling',
  'entropy',
  'immediate',
  'momentum',
  'rolling',
  'duo_rolling',
  'random',
  'slm',
  'llm',
] as const;

export type StrategyName = (typeof strategies)[number];

/** Options beside the threshold; names of the spec, of the router's configuration and of a request. Left out: {@link optionDefaults}. */
export const strategyOptionsSchema = z.object({
  aleatoricThreshold: z.number().min(0).max(10).optional(),
  epistemicThreshold: z.number().min(0).max(1).optional(),
  entropyThreshold: z.number().min(0).max(5).optional(),
  momentumFactor: z.number().min(0).max(1).optional(),
  slmToLLMThreshold: z.number().min(0).max(1).optional(),
  llmToSLMThreshold: z.number().min(0).max(1).optional(),
  windowSize: z.int32().min(1).max(256).optional(),
  llmProbability: z.number().min(0).max(1).optional(),
  seed: z.int32().min(0).optional(),
});

export type StrategyOptions = z.infer<typeof strategyOptionsSchema>;
export type StrategyOption = keyof StrategyOptions;

/** In what a strategy's `threshold` is: the router network's probability that a token is divergent, or the SLM's entropy. */
export type ThresholdUnit = 'probability' | 'nats';

interface StrategyTraits {
  /** Unit of `threshold`; absent: the strategy has none. */
  readonly threshold?: ThresholdUnit;
  readonly options: readonly StrategyOption[];
}

/** What each strategy is set by. */
export const strategyTraits: Readonly<Record<StrategyName, StrategyTraits>> = {
  neural: { threshold: 'probability', options: [] },
  neural_rolling: { threshold: 'probability', options: ['windowSize'] },
  entropy: { threshold: 'nats', options: [] },
  immediate: { options: ['aleatoricThreshold', 'epistemicThreshold', 'entropyThreshold'] },
  momentum: { options: ['aleatoricThreshold', 'momentumFactor', 'slmToLLMThreshold', 'llmToSLMThreshold'] },
  rolling: { options: ['aleatoricThreshold', 'entropyThreshold', 'windowSize'] },
  duo_rolling: { options: ['aleatoricThreshold', 'windowSize'] },
  random: { options: ['llmProbability', 'seed'] },
  slm: { options: [] },
  llm: { options: [] },
};

/** The strategies for which `holds`. */
export function strategiesWith(holds: (traits: StrategyTraits) => boolean): readonly StrategyName[] {
  return strategies.filter((name) => holds(strategyTraits[name]));
}

/** Those that ask the router network, which a checkpoint brings. */
export const neuralStrategies = strategiesWith(({ threshold }) => threshold === 'probability');

/** `threshold` of strategy entropy when it is left out, in nats: upstream's `entropy_threshold` for R1-1.5B with R1-32B. */
export const defaultEntropyThreshold = 0.45;

/** Upstream's constructor defaults (r2r/utils/switching.py); a threshold of `immediate` that is left out is not looked at. */
export const optionDefaults = {
  aleatoricThreshold: 2.275,
  rollingEntropyThreshold: 0.02,
  momentumFactor: 0.7,
  slmToLLMThreshold: 0.3,
  llmToSLMThreshold: 0.7,
  windowSize: 3,
  llmProbability: 0.5,
  seed: 42,
} as const;

/** The strategy when none is named: the network where there is one. */
export function defaultStrategy(hasCheckpoint: boolean): StrategyName {
  return hasCheckpoint ? 'neural' : 'entropy';
}
