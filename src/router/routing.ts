import type { RouterConfig } from '../api/router-config.ts';
import {
  defaultEntropyThreshold,
  strategies,
  strategyTraits,
  type StrategyName,
  type StrategyOptions,
  type ThresholdUnit,
} from '../api/strategies.ts';
import { ApiError } from './errors.ts';
import type { SignalName } from './scoring/signals.ts';
import { strategyOf } from './strategies/index.ts';
import type { Strategy } from './strategy.ts';

/** What a request says about its own routing; what it leaves out is the configuration's. */
export interface RoutingWish {
  readonly strategy?: StrategyName | undefined;
  readonly threshold?: number | undefined;
  readonly options?: StrategyOptions | undefined;
}

/** What the bundle in force brings. */
export interface Loaded {
  /** The checkpoint's own threshold; null: it has none, or there is no network. */
  readonly threshold: number | null;
  /** What can be known of a row. Entropy needs no bundle, aleatoric and epistemic one that recovers raw logits, probability a network. */
  readonly signals: ReadonlySet<SignalName>;
}

/** What decides for one answer. */
export interface Routing {
  readonly name: StrategyName;
  /** In the strategy's unit; undefined: it has none. */
  readonly threshold: number | undefined;
  readonly strategy: Strategy | 'llm';
  /** What its rows must be scored for. */
  readonly signals: readonly SignalName[];
}

const unitNames: Readonly<Record<ThresholdUnit, string>> = { probability: 'a probability', nats: 'in nats' };

/**
 * What decides for a request: its own wishes within the limits of the configuration (`overrides`), else the configuration. Another
 * strategy than the configuration's takes over its threshold only where that is in the same unit, and none of its options.
 *
 * @throws ApiError `invalid_value`, naming the request's field and the limits; `not_ready` when it is the configuration's own strategy that
 * cannot be had ({@link routingProblem})
 */
export function routingOf(wish: RoutingWish, config: RouterConfig, loaded: Loaded): Routing {
  const name = wish.strategy ?? config.strategy;
  const own = name === config.strategy;
  if (!own) checkStrategy(name, config);
  const threshold = thresholdOf(name, wish, config, loaded);
  const wishedOptions = optionsOf(name, wish, config);
  if (threshold === undefined && strategyTraits[name].threshold) {
    throw own
      ? new ApiError('not_ready', noThreshold)
      : wrong('threshold', `strategy ${name} needs one, since the checkpoint has none of its own; give one`);
  }
  const strategy = strategyOf(name, threshold, { ...(own && config.strategyOptions), ...wishedOptions });
  const signals = strategy === 'llm' ? [] : strategy.signals;
  const missing = signals.filter((signal) => !loaded.signals.has(signal));
  if (missing.length > 0) {
    const message = `strategy ${name} needs ${missing.join(' and ')}, which nothing that is loaded can give`;
    throw own && !wish.options
      ? new ApiError('not_ready', `${message}; set checkpoint, or another strategy`)
      : wrong('strategy', `${message}; leave it out`);
  }
  return { name, threshold, strategy, signals };
}

/** Why a configuration cannot be served with a bundle, in plain words; undefined when it can. */
export function routingProblem(config: RouterConfig, loaded: Loaded): string | undefined {
  try {
    routingOf({}, config, loaded);
    return undefined;
  } catch (error) {
    if (error instanceof ApiError) return error.message;
    throw error;
  }
}

const noThreshold = 'the checkpoint has no threshold of its own; set threshold';

function wrong(field: 'strategy' | 'threshold' | `options.${string}`, message: string): ApiError {
  return new ApiError('invalid_value', `r2r.${field}: ${message}`, { param: `r2r.${field}` });
}

const mayChoose = (name: StrategyName, { overrides }: RouterConfig): boolean => overrides.strategies?.includes(name) ?? true;

function checkStrategy(name: StrategyName, config: RouterConfig): void {
  if (mayChoose(name, config)) return;
  const choice = strategies.filter((each) => each === config.strategy || mayChoose(each, config));
  throw wrong('strategy', `${name} may not be chosen here; leave it out${choice.length > 1 ? `, or choose ${choice.join(', ')}` : ''}`);
}

function thresholdOf(name: StrategyName, wish: RoutingWish, config: RouterConfig, loaded: Loaded): number | undefined {
  const unit = strategyTraits[name].threshold;
  const configured = strategyTraits[config.strategy].threshold;
  if (wish.threshold === undefined) {
    if (unit === undefined) return undefined;
    const own = unit === configured ? config.threshold : undefined;
    return own ?? (unit === 'nats' ? defaultEntropyThreshold : (loaded.threshold ?? undefined));
  }
  if (unit === undefined) throw wrong('threshold', `strategy ${name} has none; leave it out`);
  if (unit === 'probability' && wish.threshold > 1) throw wrong('threshold', `is a probability with strategy ${name}, from 0 to 1`);
  const { minThreshold, maxThreshold } = config.overrides;
  if (minThreshold === undefined && maxThreshold === undefined) return wish.threshold;
  if (unit !== configured)
    throw wrong('threshold', `is ${unitNames[unit]} with strategy ${name}, for which no limits are set here; leave it out`);
  if (wish.threshold < (minThreshold ?? 0) || wish.threshold > (maxThreshold ?? Number.POSITIVE_INFINITY)) {
    const limits = [minThreshold !== undefined && `at least ${minThreshold}`, maxThreshold !== undefined && `at most ${maxThreshold}`];
    throw wrong('threshold', `must be ${limits.filter(Boolean).join(' and ')} here`);
  }
  return wish.threshold;
}

function optionsOf(name: StrategyName, { options = {} }: RoutingWish, config: RouterConfig): StrategyOptions {
  const given = Object.entries(options).filter(([, value]) => Number.isFinite(value));
  const known: readonly string[] = strategyTraits[name].options;
  for (const [option] of given) {
    if (!known.includes(option)) throw wrong(`options.${option}`, `strategy ${name} has no such option; leave it out`);
    if (!mayChoose(name, config)) throw wrong(`options.${option}`, `the options of strategy ${name} may not be chosen here; leave it out`);
  }
  return Object.fromEntries(given);
}
