import type { MeasuredCapacity } from './types.ts';

/** What a decision is made beside: what was decided before, and what is known of a replica. */
export interface CurrentPool {
  /** Replicas wanted as decided last. One that is still draining away is no longer among them, though its Deployment still has it. */
  readonly replicas: number;
  /** As measured for this revision (see capacity.ts); `capacityPerReplica` of the policy comes before it. undefined: not known yet. */
  readonly capacity: MeasuredCapacity | undefined;
}

/** What status keeps over a restart of the operator. */
export interface KnownBefore {
  /** Average of the demand in the last decision's inputs; units of work a second. */
  readonly demandPerSecond?: number | undefined;
  /** When that was; ms since the epoch. */
  readonly atMs?: number | undefined;
  readonly routingKey?: string | undefined;
}

/** What decisions remember of each other: plain data, without `undefined` inside, so that it survives JSON. For `decide` only. */
export interface ScalingState {
  /** What routing the average belongs to; null: none yet. */
  readonly routingKey: string | null;
  readonly demandPerSecond: number | null;
  /** Of the sample used last. */
  readonly sampleAtMs: number | null;
}

/** The state before the first decision, or after the operator began anew. */
export function initialState(known: KnownBefore = {}): ScalingState {
  return { routingKey: known.routingKey ?? null, demandPerSecond: known.demandPerSecond ?? null, sampleAtMs: known.atMs ?? null };
}
