import type { Autoscaler } from './policy.ts';
import { Pool } from './pool.ts';
import type { Workload } from './workloads.ts';

/** How a policy did. */
export interface Outcome {
  /** Share of the tokens that were emitted while the pool was over its target: p95 of the LLM calls, in windows of 5 s. */
  readonly lateShare: number;
  /** Share of the tokens whose own LLM call took longer than the target, or that waited for a replica. */
  readonly slowShare: number;
  readonly gpuHours: number;
  /** How often the wanted number changed. */
  readonly changes: number;
}

/** One point in time, for plots. */
export interface Moment {
  readonly second: number;
  readonly wanted: number;
  readonly ready: number;
  readonly callsPerSecond: number;
  readonly lateShare: number;
}

/**
 * For so long nothing is counted, or for a third of a short trace: conversations have to come first, and a policy that starts with more than enough has to
 * let go of it.
 */
const longestWarmUpSeconds = 1800;

/** Lets a workload go by. Every run draws the same starts and choices: `seed`. */
export function simulate(
  workload: Workload,
  scaler: Autoscaler,
  replicas: number,
  seed: number,
  watch?: { readonly everySeconds: number; readonly see: (moment: Moment) => void },
): Outcome {
  const pool = new Pool(workload, seed, replicas);
  const warmUpSeconds = Math.min(longestWarmUpSeconds, Math.floor(workload.seconds / 3));
  let [wanted, changes] = [scaler.wanted, 0];
  let [calls, tokens, late] = [0, 0, 0];
  for (let second = 0; second < workload.seconds; second++) {
    pool.step();
    if (watch) {
      calls += pool.pods.reduce((sum, { load }) => sum + load.callsPerSecond, 0);
      if (pool.second % watch.everySeconds === 0) {
        const { totals } = pool;
        watch.see({
          second: pool.second,
          wanted: scaler.wanted,
          ready: pool.readyPods().length,
          callsPerSecond: calls / watch.everySeconds,
          lateShare: (totals.lateTokens - late) / Math.max(1, totals.tokens - tokens),
        });
        [calls, tokens, late] = [0, totals.tokens, totals.lateTokens];
      }
    }
    scaler.step(pool);
    if (scaler.wanted !== wanted) [wanted, changes] = [scaler.wanted, changes + 1];
    if (second > warmUpSeconds) continue;
    Object.assign(pool.totals, { tokens: 0, lateTokens: 0, slowTokens: 0, gpuSeconds: 0 });
    changes = 0;
  }
  const { tokens: all, lateTokens, slowTokens, gpuSeconds } = pool.totals;
  return { lateShare: lateTokens / Math.max(1, all), slowShare: slowTokens / Math.max(1, all), gpuHours: gpuSeconds / 3600, changes };
}
