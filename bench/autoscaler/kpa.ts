import type { Autoscaler, Limits } from './policy.ts';
import type { Pool } from './pool.ts';

export interface KpaSettings {
  /** Calls under way that one replica is to have on average. */
  readonly target: number;
  readonly stableSeconds: number;
  readonly panicSeconds: number;
  /** Nothing goes away until fewer were wanted for so long. */
  readonly downDelaySeconds: number;
}

/** Knative's defaults. */
export const knative = { stableSeconds: 60, panicSeconds: 6, downDelaySeconds: 0 } as const;
/** AIBrix' defaults for the same algorithm (facts: stable 180 s, panic 60 s, down 300 s). */
export const aibrix = { stableSeconds: 180, panicSeconds: 60, downDelaySeconds: 300 } as const;

const tickSeconds = 2;
const panicThreshold = 2;
const maxScaleUpRate = 1000;
const maxScaleDownRate = 2;

/**
 * Knative's pod autoscaler on concurrency, with panic mode (knative.dev/serving pkg/autoscaler/scaling/autoscaler.go): averages over a stable and a short
 * window; while the short one wants twice what is ready it only goes up.
 */
export function kpa({ target, stableSeconds, panicSeconds, downDelaySeconds }: KpaSettings, limits: Limits, replicas: number): Autoscaler {
  const concurrency: number[] = [];
  const delayed: { readonly second: number; readonly replicas: number }[] = [];
  let wanted = replicas;
  let panicUntil = -1;
  let highestInPanic = 0;
  const average = (seconds: number): number => {
    const within = concurrency.slice(-seconds);
    return within.reduce((sum, value) => sum + value, 0) / Math.max(1, within.length);
  };
  return {
    get wanted() {
      return wanted;
    },
    step(pool) {
      concurrency.push(underWay(pool));
      if (concurrency.length > stableSeconds) concurrency.shift();
      if (pool.second % tickSeconds !== 0) return;
      const ready = Math.max(1, pool.readyPods().length);
      const clamp = (count: number): number =>
        Math.max(Math.floor(ready / maxScaleDownRate), Math.min(Math.ceil(maxScaleUpRate * ready), Math.ceil(count)));
      const stable = clamp(average(stableSeconds) / target);
      const panic = clamp(average(panicSeconds) / target);
      if (panic / ready >= panicThreshold) panicUntil = pool.second + stableSeconds;
      let desired = stable;
      if (pool.second < panicUntil) {
        highestInPanic = Math.max(highestInPanic, panic, ready);
        desired = Math.max(stable, highestInPanic);
      } else highestInPanic = 0;
      delayed.push({ second: pool.second, replicas: desired });
      while ((delayed[0]?.second ?? Infinity) < pool.second - downDelaySeconds) delayed.shift();
      const held = Math.max(...delayed.map((each) => each.replicas));
      wanted = Math.max(limits.minReplicas, Math.min(limits.maxReplicas, held));
      pool.replicas = wanted;
    },
  };
}

function underWay(pool: Pool): number {
  return pool.pods.reduce((sum, { load }) => sum + load.running + load.queued, 0) + pool.waiting.length;
}
