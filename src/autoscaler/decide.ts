import type { CurrentPool, ScalingState } from './state.ts';
import type { PoolSample, ScalingDecision, ScalingPolicy } from './types.ts';

export interface Decided {
  readonly state: ScalingState;
  readonly decision: ScalingDecision;
}

/**
 * Decides how many replicas a pool wants: call it for every sample (5 s), with `undefined` when none came, and hand its state back the next time.
 * Pure: the same arguments give the same answer. `decision.from` is `current.replicas`; where `to` differs, `to` is what `current.replicas` must
 * be from now on.
 */
export function decide(
  policy: ScalingPolicy,
  state: ScalingState,
  sample: PoolSample | undefined,
  current: CurrentPool,
  nowMs: number,
): Decided {
  const from = current.replicas;
  const budget = policy.gpusPerReplica > 0 && policy.gpuBudget !== undefined ? Math.floor(policy.gpuBudget / policy.gpusPerReplica) : Infinity;
  const to = Math.max(0, Math.min(Math.max(from, policy.minReplicas), policy.maxReplicas, budget));
  const ready = sample?.replicas.filter((replica) => replica.ready && !replica.draining).length ?? 0;
  return {
    state,
    decision: {
      atMs: nowMs,
      from,
      to,
      reason: to === from ? 'Steady' : 'BoundsChanged',
      message: `${to} replicas`,
      inputs: {
        demandPerSecond: state.demandPerSecond ?? undefined,
        capacityPerReplica: policy.capacityPerReplica ?? current.capacity?.perSecond,
        floor: undefined,
        reactive: 0,
        ready,
        pending: Math.max(0, to - ready),
        waitingRequests: sample?.waitingRequests ?? 0,
      },
    },
  };
}
