import type { Pool } from './pool.ts';

/** Something that sets the number of replicas. */
export interface Autoscaler {
  /** Called after every second; changes the pool as it would the Deployment. */
  step(pool: Pool): void;
  /** What it wants now: changes are counted by it. */
  readonly wanted: number;
}

export interface Limits {
  readonly minReplicas: number;
  readonly maxReplicas: number;
}

/** A pool of one size. */
export function fixed(replicas: number): Autoscaler {
  return { wanted: replicas, step: (pool) => void (pool.replicas = replicas) };
}
