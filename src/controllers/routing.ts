import type { RouterStatus } from '../api/router-status.ts';
import type { R2RDeploymentStatus } from '../api/r2rdeployment-status.ts';

export type Routing = NonNullable<R2RDeploymentStatus['routing']>;

/**
 * Routing numbers of all routers together, over the last minute, to two significant digits.
 *
 * ratio = LLM tokens / all tokens; averageActivatedParams = SLM + router network + ratio x LLM: the SLM drafts every token and the
 * network, where there is one, judges it, as the published 5.6B = 1.5B + 0.056B + 12.6 % of 32B has it.
 *
 * @param previous - kept for `ratio` while no token was emitted in the last minute
 * @returns undefined when no router answered, or none has emitted a token yet
 */
export function aggregateRouting(routers: readonly RouterStatus[], previous: Routing | undefined): Routing | undefined {
  const sum = (of: (router: RouterStatus) => number): number => routers.reduce((total, router) => total + of(router), 0);
  const llm = sum(({ window }) => window.tokens.llm);
  const all = llm + sum(({ window }) => window.tokens.slm + window.tokens.fallback);
  const ratio = all > 0 ? llm / all : previous?.ratio;
  if (routers.length === 0 || ratio === undefined) return previous && { ...previous, tokensPerSecond: 0 };
  const parametersOf = (part: 'slm' | 'llm' | 'router'): number | undefined =>
    routers.find(({ parameters }) => parameters[part] !== undefined)?.parameters[part];
  const [slmParameters, llmParameters] = [parametersOf('slm'), parametersOf('llm')];
  const activated =
    slmParameters !== undefined && llmParameters !== undefined
      ? slmParameters + (parametersOf('router') ?? 0) + ratio * llmParameters
      : undefined;
  return {
    ratio: significant(ratio),
    tokensPerSecond: significant(sum(({ window }) => window.tokensPerSecond)),
    ...(activated !== undefined && { averageActivatedParams: significant(activated) }),
  };
}

/** Rounded to two significant digits, so that small changes write nothing. */
export function significant(value: number, digits = 2): number {
  return Number(value.toPrecision(digits));
}

/** Strings for `kubectl get`. */
export function routingSummary(routing: Routing | undefined): { llmRatio?: string; tokensPerSecond?: string; params?: string } {
  if (!routing) return {};
  const { ratio, tokensPerSecond, averageActivatedParams: params } = routing;
  return {
    llmRatio: `${significant(ratio * 100)}%`,
    tokensPerSecond: String(tokensPerSecond),
    ...(params !== undefined && { params: humanCount(params) }),
  };
}

/** 5600000000 -> 5.6B, 104000 -> 100K (two digits). */
export function humanCount(value: number): string {
  for (const [unit, size] of [
    ['B', 1e9],
    ['M', 1e6],
    ['K', 1e3],
  ] as const) {
    if (value >= size) return `${significant(value / size)}${unit}`;
  }
  return String(value);
}
