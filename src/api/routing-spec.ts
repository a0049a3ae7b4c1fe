import { z } from 'zod';
import type { Rule } from './cel.ts';
import { rules } from './cel.ts';
import { neuralStrategies, optionDefaults, strategies, strategiesWith, strategyOptionsSchema } from './strategies.ts';
import type { StrategyName, StrategyOption } from './strategies.ts';

const usersOf = (option: StrategyOption): readonly StrategyName[] => strategiesWith(({ options }) => options.includes(option));

/** "a", "a or b", "a, b or c" */
const oneOf = (names: readonly string[]): string =>
  names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} or ${names.at(-1) ?? ''}`;

const quoted = (names: readonly string[]): string => `[${names.map((name) => `'${name}'`).join(', ')}]`;

const optionMeanings: Readonly<Record<StrategyOption, string>> = {
  aleatoricThreshold: `A token is simple below this aleatoric uncertainty. Left out: ${optionDefaults.aleatoricThreshold}; for immediate only if no other threshold is given.`,
  epistemicThreshold: 'A token goes to the LLM only from this epistemic uncertainty on. Left out: it is not looked at.',
  entropyThreshold: `In nats. Immediate: a token goes to the LLM only from this entropy on; left out: it is not looked at. Rolling: a token below it is simple whatever the aleatoric uncertainty; left out: ${optionDefaults.rollingEntropyThreshold}.`,
  momentumFactor: `How much of the momentum (from 0, complex, to 1, simple) stays at each token. Left out: ${optionDefaults.momentumFactor}.`,
  slmToLLMThreshold: `The momentum at or below which the LLM takes over from the SLM. Left out: ${optionDefaults.slmToLLMThreshold}.`,
  llmToSLMThreshold: `The momentum above which the SLM takes over from the LLM. Left out: ${optionDefaults.llmToSLMThreshold}.`,
  windowSize: `Tokens in the window whose average brings back the SLM. Left out: ${optionDefaults.windowSize}.`,
  llmProbability: `The share of tokens that go to the LLM. Left out: ${optionDefaults.llmProbability}.`,
  seed: `Chooses the sequence of draws; the same seed and position draw the same. Left out: ${optionDefaults.seed}.`,
};

/** `spec.router.strategyOptions`. */
export const strategyOptions = z
  .object(
    Object.fromEntries(
      Object.entries(strategyOptionsSchema.shape).map(([name, type]) => {
        const option = name as StrategyOption;
        return [option, type.describe(`Only with strategy ${oneOf(usersOf(option))}. ${optionMeanings[option]}`)];
      }),
    ) as typeof strategyOptionsSchema.shape,
  )
  .optional()
  .describe("What a strategy is set by beside the threshold. Left out: upstream's values. Changes without a restart.");

/** `spec.router.overrides`. */
export const overrides = z
  .object({
    strategies: z
      .array(z.enum(strategies))
      .max(strategies.length)
      .meta({ 'x-kubernetes-list-type': 'set' })
      .optional()
      .describe(
        "Strategies a request may choose beside the deployment's own, with their options. Empty: none. Left out: every strategy for which the router has what it needs.",
      ),
    minThreshold: z
      .number()
      .min(0)
      .max(5)
      .optional()
      .describe("Lowest threshold a request may choose, in the unit of the deployment's own. Left out: 0."),
    maxThreshold: z
      .number()
      .min(0)
      .max(5)
      .optional()
      .describe("Highest threshold a request may choose, in the unit of the deployment's own. Left out: any."),
  })
  .meta(
    rules({
      rule: '!has(self.minThreshold) || !has(self.maxThreshold) || self.minThreshold <= self.maxThreshold',
      message: 'minThreshold: must not be above maxThreshold; raise maxThreshold or lower minThreshold',
    }),
  )
  .optional()
  .describe(
    'Limits within which one request may set strategy and threshold for itself (field `r2r`). Left out: any strategy for which the router has what it needs, any threshold.',
  );

const withThreshold = strategiesWith(({ threshold }) => threshold !== undefined);
const strategyIn = (names: readonly StrategyName[]): string => `self.strategy in ${quoted(names)}`;
const threshold = `(!has(self.strategy) || ${strategyIn(withThreshold)})`;
const probability = `(has(self.strategy) ? ${strategyIn(neuralStrategies)} : has(self.checkpoint))`;
const hasBound = '(has(self.overrides) && (has(self.overrides.minThreshold) || has(self.overrides.maxThreshold)))';

const optionRules = (Object.keys(optionMeanings) as StrategyOption[]).map((option): Rule => {
  const users = usersOf(option);
  // Without a strategy it is neural or entropy, which have no options.
  return {
    rule: `!has(self.strategyOptions) || !has(self.strategyOptions.${option}) || (has(self.strategy) && ${strategyIn(users)})`,
    message: `strategyOptions.${option}: applies only to strategy ${oneOf(users)}; remove it, or set strategy to one that it applies to`,
  };
});

/** Rules of `spec.router` over strategy, threshold, options and checkpoint. */
export const strategyRules: readonly Rule[] = [
  {
    rule: `!has(self.threshold) || ${threshold}`,
    message: `threshold: applies only to strategy ${oneOf(withThreshold)}; remove threshold, or set strategy to one of these`,
  },
  {
    rule: `!has(self.threshold) || !${probability} || self.threshold <= 1.0`,
    message: `threshold: is a probability with strategy ${oneOf(neuralStrategies)}; set it from 0 to 1, or leave it out to take the checkpoint's own`,
  },
  {
    rule: `!has(self.strategy) || !(${strategyIn(neuralStrategies)}) || has(self.checkpoint)`,
    message: `strategy: ${neuralStrategies.join(' and ')} need a router network; set checkpoint.uri or checkpoint.routerRef, or choose another strategy`,
  },
  {
    rule: `has(self.checkpoint) || !has(self.overrides) || !has(self.overrides.strategies) || !self.overrides.strategies.exists(each, each in ${quoted(neuralStrategies)})`,
    message: `overrides.strategies: ${neuralStrategies.join(' and ')} need a router network; set checkpoint.uri or checkpoint.routerRef, or remove them`,
  },
  {
    rule: `!${hasBound} || ${threshold}`,
    message: `overrides: minThreshold and maxThreshold bound the threshold of strategy ${oneOf(withThreshold)}; remove them, or set strategy to one of these`,
  },
  ...optionRules,
];
