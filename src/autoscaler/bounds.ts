import type { ScalingPolicy, ScalingReason } from './types.ts';

export interface Bounds {
  readonly lowest: number;
  readonly highest: number;
  /** What `highest` comes from. */
  readonly limit: Extract<ScalingReason, 'AtMaximum' | 'GpuBudgetReached'>;
}

/** How many replicas there may be. The budget comes before minReplicas: GPUs beyond it are another's. */
export function boundsOf({ minReplicas, maxReplicas, gpusPerReplica, gpuBudget }: ScalingPolicy): Bounds {
  const affordable = gpusPerReplica > 0 && gpuBudget !== undefined ? Math.max(0, Math.floor(gpuBudget / gpusPerReplica)) : Infinity;
  const highest = Math.max(0, Math.min(maxReplicas, affordable));
  return { lowest: Math.min(minReplicas, highest), highest, limit: affordable < maxReplicas ? 'GpuBudgetReached' : 'AtMaximum' };
}

/** Of `bounds`, how many may be asked for beyond `from` while `terminating` replicas still hold GPUs of the budget. */
export function growthLimit(policy: ScalingPolicy, bounds: Bounds, from: number, terminating: number): Bounds {
  if (policy.gpusPerReplica === 0 || policy.gpuBudget === undefined || terminating === 0) return bounds;
  const affordable = Math.floor(policy.gpuBudget / policy.gpusPerReplica) - terminating;
  if (affordable >= bounds.highest) return bounds;
  return { ...bounds, highest: Math.max(Math.min(from, bounds.highest), affordable), limit: 'GpuBudgetReached' };
}
