import { boundsOf, type Bounds } from './bounds.ts';
import { neededFor, noDemand, observeDemand, type DemandState } from './demand.ts';
import { observePresence, type Presence } from './presence.ts';
import { neededForSpare } from './spare.ts';
import type { CurrentPool, ScalingState } from './state.ts';
import type { PoolSample, ScalingInputs, ScalingPolicy } from './types.ts';

/** What one sample says, beside what was known before. */
export interface Observation {
  readonly state: ScalingState;
  readonly sample: PoolSample;
  readonly presence: Presence;
  readonly bounds: Bounds;
  /** Units of work a second that one replica can do; undefined: not known. */
  readonly capacity: number | undefined;
  /** Replicas that the demand needs; undefined: demand or capacity is not known. */
  readonly floor: number | undefined;
  /** Replicas that queue and KV use need. */
  readonly reactive: number;
  /** Replicas that this sample alone would have; the bounds are not looked at. */
  readonly wish: number;
  readonly inputs: ScalingInputs;
}

/** How long a replica takes to come while none was seen to. */
const usualStartMs = 180_000;
/** A latency above the target by this factor or more counts as this one. */
const maxStretch = 5;
/** Below this share of the capacity it is not the load that makes calls slow. */
const busyShare = 0.7;
/** Samples further apart than this say nothing of the time between them. */
const longestSampleMs = 60_000;

/** Takes a sample in. */
export function observe(policy: ScalingPolicy, before: ScalingState, sample: PoolSample, current: CurrentPool): Observation {
  const { state: presenceState, presence } = observePresence(before.presence, sample, current.replicas, policy.pendingDeadlineMs);
  const capacity = policy.capacityPerReplica ?? current.capacity?.perSecond;
  const rerouted = before.routingKey !== null && before.routingKey !== sample.routingKey;
  const demand = rerouted ? noDemand : withSample(policy, before, sample, presence, capacity);
  const idle = sample.demandPerSecond === 0 && sample.waitingRequests === 0 && sample.replicas.every(({ inFlight }) => inFlight === 0);
  const state: ScalingState = {
    ...before,
    routingKey: sample.routingKey,
    sampleAtMs: sample.atMs,
    demandAtMs: sample.demandPerSecond === undefined ? before.demandAtMs : sample.atMs,
    demand,
    presence: presenceState,
    wishes: rerouted ? [] : before.wishes,
    idleSinceMs: idle ? (before.idleSinceMs ?? sample.atMs) : null,
  };
  const startMs = presenceState.startMs ?? Math.min(usualStartMs, policy.pendingDeadlineMs);
  const needed = neededFor(demand, startMs + policy.scaleUp.windowMs, isLate(policy, sample));
  // what is usual leaves the room that was asked for, what is possible may use all of a replica
  const shareOf = (beside: number): number | undefined =>
    needed && capacity !== undefined
      ? Math.max((needed.expected + beside) / policy.targetUtilization, needed.possible) / capacity
      : undefined;
  const share = shareOf(0);
  // where noise would bring it back at once, none goes
  const calmShare = shareOf(needed ? Math.min(needed.wobble ?? Infinity, policy.tolerance * needed.expected) : 0);
  const reactive = neededForSpare(presence.serving, sample.waitingRequests);
  const counting = current.replicas - presence.stuck;
  const forDemand =
    share === undefined || calmShare === undefined ? current.replicas : settled(share, calmShare, counting, policy.tolerance);
  return {
    state,
    sample,
    presence,
    bounds: boundsOf(policy),
    capacity,
    floor: share === undefined ? undefined : wholeReplicas(share),
    reactive,
    wish: Math.max(forDemand, reactive, policy.minReplicas, 1),
    inputs: {
      demandPerSecond: demand.level ?? undefined,
      capacityPerReplica: capacity,
      floor: share === undefined ? undefined : wholeReplicas(share),
      reactive,
      ready: presence.serving.length,
      pending: presence.pending,
      waitingRequests: sample.waitingRequests,
    },
  };
}

function withSample(
  policy: ScalingPolicy,
  before: ScalingState,
  sample: PoolSample,
  presence: Presence,
  capacity: number | undefined,
): DemandState {
  const { demandPerSecond } = sample;
  const again = before.sampleAtMs !== null && sample.atMs <= before.sampleAtMs;
  // while nobody serves, calls wait instead of being made
  const unseen = presence.serving.length === 0 && sample.waitingRequests > 0;
  if (demandPerSecond === undefined || again || unseen) return before.demand;
  const ms = before.sampleAtMs === null ? 1 : Math.min(longestSampleMs, sample.atMs - before.sampleAtMs);
  return observeDemand(before.demand, sample.atMs, ms, demandPerSecond * stretch(policy, sample, presence.serving.length, capacity));
}

function isLate({ latencyTargetMs = Infinity }: ScalingPolicy, { latencyP95Ms = 0 }: PoolSample): boolean {
  return latencyP95Ms > latencyTargetMs;
}

/**
 * What the demand would be beside what is seen of it: conversations wait for their calls, so an overloaded pool gets no more of them than it can answer.
 * In such a closed loop demand = conversations / (time between calls + latency); the two are taken to be equal when the latency is at its target.
 */
function stretch({ latencyTargetMs }: ScalingPolicy, sample: PoolSample, serving: number, capacity: number | undefined): number {
  const { demandPerSecond = 0, latencyP95Ms } = sample;
  if (latencyTargetMs === undefined || latencyP95Ms === undefined || capacity === undefined) return 1;
  if (latencyP95Ms <= latencyTargetMs || demandPerSecond < busyShare * serving * capacity) return 1;
  return (1 + Math.min(maxStretch, latencyP95Ms / latencyTargetMs)) / 2;
}

/**
 * A need of `share` replicas as a whole number. A tolerance on the way down only, together with the window, is what keeps noise from turning a pool
 * round: on the way up it would only make it late.
 *
 * @param calmShare - what those that stay must be enough for, noise included
 */
function settled(share: number, calmShare: number, counting: number, tolerance: number): number {
  if (share > counting) return wholeReplicas(share);
  return share < counting * (1 - tolerance) ? Math.min(counting, wholeReplicas(calmShare)) : counting;
}

/** Without the last bits, which would make 3.0000000000000004 a 4. */
function wholeReplicas(share: number): number {
  return Math.ceil(Math.round(share * 1e9) / 1e9);
}
