import { noDemand, seededDemand, type DemandState } from './demand.ts';
import { nobodyPresent, type PresenceState } from './presence.ts';
import type { Wishes } from './wishes.ts';
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
  /** What routing the average belongs to; null: none seen yet. */
  readonly routingKey: string | null;
  /** Of the sample used last; ms since the epoch. */
  readonly sampleAtMs: number | null;
  /** Of the last one that told the demand; ms since the epoch. */
  readonly demandAtMs: number | null;
  readonly demand: DemandState;
  readonly presence: PresenceState;
  readonly wishes: Wishes;
  /** When a replica was taken away last; ms since the epoch. */
  readonly loweredAtMs: number | null;
  /** When broken replicas were given up, for others to be made in their place; ms since the epoch. */
  readonly gaveUpAtMs: number | null;
  /** Since when there was neither demand nor a waiting request; ms since the epoch. */
  readonly idleSinceMs: number | null;
  /** Attempts in place of replicas that did not come; null: all come. */
  readonly attempts: Attempts | null;
}

export interface Attempts {
  /** Made in a row without a replica that became ready. */
  readonly count: number;
  /** ms since the epoch. */
  readonly nextAtMs: number;
}

/** The state before the first decision, or after the operator began anew. */
export function initialState(known: KnownBefore = {}): ScalingState {
  const { demandPerSecond, atMs, routingKey } = known;
  return {
    routingKey: routingKey ?? null,
    sampleAtMs: null,
    demandAtMs: null,
    demand: demandPerSecond === undefined || atMs === undefined ? noDemand : seededDemand(demandPerSecond, atMs),
    presence: nobodyPresent,
    wishes: [],
    loweredAtMs: null,
    gaveUpAtMs: null,
    idleSinceMs: null,
    attempts: null,
  };
}
