/**
 * What scaling one pool of replicas is decided from, and what comes out: plain data, so that the same decision code runs in the
 * operator, in the simulator and in property tests. A unit of work is one call for the LLM pool (see {@link PoolSample.demandPerSecond})
 * and one drafted token for the SLM pool.
 */

/** How a pool may be scaled: the spec with its defaults, and what the cluster allows. */
export interface ScalingPolicy {
  /** 0: the pool may go away while nobody asks for it. */
  readonly minReplicas: number;
  readonly maxReplicas: number;
  /** GPUs of one replica; 0 for a pool without GPUs, to which no budget applies. */
  readonly gpusPerReplica: number;
  /** GPUs that this pool may use in all, those of other revisions already taken off; undefined: no budget. */
  readonly gpuBudget: number | undefined;
  /** p95 of a call's latency that the pool is kept within; beyond it the demand seen is less than the demand there would be. undefined: not looked at. Ms. */
  readonly latencyTargetMs?: number | undefined;
  /** Share of a replica's capacity that the demand may use before another one is wanted, 0 < share <= 1. */
  readonly targetUtilization: number;
  /** Units of work a second that one replica can do, where the user has set it; undefined: as measured. */
  readonly capacityPerReplica: number | undefined;
  /** No replica goes while the demand is more than 1 - tolerance of what the present ones are meant for; at most this share is left for noise to those that stay. */
  readonly tolerance: number;
  readonly scaleUp: ScalingPace;
  readonly scaleDown: ScalingPace;
  /** A replica that is not ready after so long counts as one that will not come: reason InsufficientCapacity. Ms. */
  readonly pendingDeadlineMs: number;
  /** A sample older than this says nothing: the pool is held as it is. Ms. */
  readonly staleAfterMs: number;
  /** Time without any demand or waiting request after which a pool with minReplicas 0 goes to zero. Ms. */
  readonly idleBeforeZeroMs: number;
}

export interface ScalingPace {
  /** How long the wish must have lasted, the mildest wish of that time counting. Ms. */
  readonly windowMs: number;
  /** Replicas added or taken away by one decision at most. */
  readonly maxStep: number;
}

/** One replica as the routers and the API server see it. */
export interface ReplicaSample {
  /** UID of the pod. */
  readonly id: string;
  readonly ready: boolean;
  /** No new call goes there; it will be taken away. */
  readonly draining: boolean;
  /** Its pod is being deleted: nothing can bring it back, and it holds its GPUs until it is gone. Left out: it is not. */
  readonly terminating?: boolean | undefined;
  /** When the pod was made; ms since the epoch. */
  readonly createdAtMs: number;
  /** Calls of all routers that it is working on. */
  readonly inFlight: number;
  /** As the engine says; undefined where it does not. */
  readonly runningRequests: number | undefined;
  readonly queuedRequests: number | undefined;
  /** Share of its KV cache in use, 0 to 1. */
  readonly kvUsage: number | undefined;
}

/** A pool at one moment. Rates are over the time since the sample before. */
export interface PoolSample {
  /** When it was taken; ms since the epoch. */
  readonly atMs: number;
  /**
   * Units of work asked for a second, over all routers. LLM pool: calls started a second, discarded ones included, + primed prompt tokens
   * a second / prefill tokens that cost as much as one call. undefined: too few routers answered, or their counters began anew.
   */
  readonly demandPerSecond: number | undefined;
  /** Units of work done a second. */
  readonly donePerSecond: number | undefined;
  /** p95 of the latency of the calls that ended since the sample before; undefined where none did. Ms. */
  readonly latencyP95Ms: number | undefined;
  /** Client requests that wait because the pool has no replica, or all are busy. */
  readonly waitingRequests: number;
  /** What decides how much of the traffic comes here (threshold, strategy, bundle): a change voids the average. */
  readonly routingKey: string;
  /** Replicas that exist in the pool's revision, pending ones included. */
  readonly replicas: readonly ReplicaSample[];
}

/** What is known of a replica's capacity: kept in the resource's status, per revision. */
export interface MeasuredCapacity {
  /** Units of work a second. */
  readonly perSecond: number;
  /** `Benchmark`: seeded after the first replica became ready; `Traffic`: the highest one-minute rate within the latency target since. */
  readonly source: 'Benchmark' | 'Traffic';
  /** ms since the epoch. */
  readonly measuredAtMs: number;
}

/** Why a pool has the size it has. Also the values of the metric's `reason` label and of condition ScalingReady. */
export const scalingReasons = [
  /** The wish equals the present count, or lies within the tolerance. */
  'Steady',
  'DemandRose',
  /** Queue or KV use of the replicas leaves too little to spare, whatever the demand says. */
  'SpareCapacityLow',
  'DemandFell',
  /** More or fewer are wanted, and the window is not over. */
  'Stabilizing',
  /** Fewer are wanted, but the others could not carry the load of the one that goes. */
  'RedistributionUnsafe',
  'AtMaximum',
  'GpuBudgetReached',
  /** Replicas asked for did not become ready before the deadline: no more are asked for, and they no longer count. */
  'InsufficientCapacity',
  /** No sample, or an old one: held as it is. */
  'StaleMetrics',
  /** The capacity of a replica is not known yet: held at what was asked for last, but for the reactive part. */
  'CapacityUnknown',
  'ScaledToZero',
  /** A request came while there was no replica. */
  'WokenUp',
  /** The count was outside minReplicas .. maxReplicas or the budget. */
  'BoundsChanged',
] as const;

export type ScalingReason = (typeof scalingReasons)[number];

/** The numbers a decision was made from. */
export interface ScalingInputs {
  /** Average of the demand, units of work a second. */
  readonly demandPerSecond: number | undefined;
  readonly capacityPerReplica: number | undefined;
  /** Replicas that the demand needs. */
  readonly floor: number | undefined;
  /** Replicas that queue and KV use need. */
  readonly reactive: number;
  readonly ready: number;
  /** Asked for, not ready, and not past the deadline. */
  readonly pending: number;
  readonly waitingRequests: number;
}

export interface ScalingDecision {
  /** ms since the epoch. */
  readonly atMs: number;
  /** Replicas before and after; equal when nothing changes. */
  readonly from: number;
  readonly to: number;
  readonly reason: ScalingReason;
  /** For people: what was wanted and what kept it. */
  readonly message: string;
  readonly inputs: ScalingInputs;
}
