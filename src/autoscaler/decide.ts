import { boundsOf } from './bounds.ts';
import { attemptsAfter, calmWaitMs, choose } from './choice.ts';
import { observe } from './observation.ts';
import { morePatient } from './presence.ts';
import type { CurrentPool, ScalingState } from './state.ts';
import type { PoolSample, ScalingDecision, ScalingPolicy } from './types.ts';
import { addWish } from './wishes.ts';

export interface Decided {
  readonly state: ScalingState;
  readonly decision: ScalingDecision;
}

/**
 * Decides how many replicas a pool wants: call it for every sample (5 s), with `undefined` when none came, and hand its state back the next time.
 * Pure: the same arguments give the same answer. `decision.from` is `current.replicas`; where `to` differs, `to` is what `current.replicas` must
 * be from now on. docs/autoscaling.md tells how.
 */
export function decide(
  policy: ScalingPolicy,
  state: ScalingState,
  sample: PoolSample | undefined,
  current: CurrentPool,
  nowMs: number,
): Decided {
  if (sample === undefined || nowMs - sample.atMs > policy.staleAfterMs) return hold(policy, state, sample, current, nowMs);
  const seen = observe(policy, state, sample, current);
  const wishes = addWish(seen.state.wishes, seen.wish, nowMs, Math.max(policy.scaleUp.windowMs, policy.scaleDown.windowMs + calmWaitMs));
  const wishing = { ...seen, state: { ...seen.state, wishes } };
  const from = current.replicas;
  const choice = choose(policy, wishing, from, nowMs);
  const { to, reason, message } = choice;
  return {
    state: {
      ...wishing.state,
      presence:
        choice.givesUp === true ? morePatient(wishing.state.presence, nowMs - (state.gaveUpAtMs ?? -Infinity)) : wishing.state.presence,
      attempts: attemptsAfter(policy, wishing, choice, from, nowMs),
      loweredAtMs: to < from ? nowMs : wishing.state.loweredAtMs,
      gaveUpAtMs: choice.givesUp === true ? nowMs : wishing.state.gaveUpAtMs,
    },
    decision: { atMs: nowMs, from, to, reason, message, inputs: seen.inputs },
  };
}

/** Nothing is known of the present: only the bounds still count. Wishes from before do not, so that every window begins anew. */
function hold(policy: ScalingPolicy, state: ScalingState, sample: PoolSample | undefined, current: CurrentPool, nowMs: number): Decided {
  const from = current.replicas;
  const { lowest, highest } = boundsOf(policy);
  const to = Math.max(lowest, Math.min(highest, from));
  const age = sample ? `the last sample is ${Math.round((nowMs - sample.atMs) / 1000)} s old` : 'no sample came';
  const ready = Object.values(state.presence.notReadySinceMs).filter((since) => since === 0).length;
  return {
    state: { ...state, wishes: [], idleSinceMs: null, loweredAtMs: to < from ? nowMs : state.loweredAtMs },
    decision: {
      atMs: nowMs,
      from,
      to,
      reason: to === from ? 'StaleMetrics' : 'BoundsChanged',
      message: to === from ? `held: ${age}` : `minReplicas, maxReplicas and the GPU budget allow ${lowest} to ${highest}`,
      inputs: {
        demandPerSecond: state.demand.level ?? undefined,
        capacityPerReplica: policy.capacityPerReplica ?? current.capacity?.perSecond,
        floor: undefined,
        reactive: 0,
        ready,
        pending: Math.max(0, from - ready),
        waitingRequests: sample?.waitingRequests ?? 0,
      },
    },
  };
}
