import { reasons } from '../../api/conditions.ts';
import type { ConditionInput } from '../../api/conditions.ts';
import type { R2RDeploymentSpec } from '../../api/r2rdeployment.ts';
import type { ScalingDecision, ScalingReason } from '../../autoscaler/index.ts';
import { poolNames } from './policy.ts';
import type { PoolName } from './policy.ts';

/** What keeps a pool from having the size it should have; with everything else it has it, or soon will. */
const failures: Partial<Record<ScalingReason, 'False' | 'Unknown'>> = {
  StaleMetrics: 'False',
  InsufficientCapacity: 'False',
  CapacityUnknown: 'Unknown',
};

/** The most serious first. */
const order = ['False', 'Unknown', 'True'] as const;

/**
 * Why the pools have the size they have. With both of them scaled the reason is that of the one with a problem, else the LLM's.
 *
 * @param shown - each scaled pool's decision; undefined: none was made yet
 */
export function scalingCondition(spec: R2RDeploymentSpec, shown: Partial<Record<PoolName, ScalingDecision | undefined>>): ConditionInput {
  const type = 'ScalingReady';
  const scaled = poolNames.filter((pool) => spec[pool].autoscaling);
  const followed = poolNames.filter((pool) => !spec[pool].autoscaling).map((pool) => `spec.${pool}.replicas`);
  if (scaled.length === 0) {
    return {
      type,
      status: 'True',
      reason: reasons.fixedReplicas,
      message: `${followed.join(' and ')} are followed; autoscaling is not set`,
    };
  }
  const parts = scaled.map((pool) => {
    const decision = shown[pool];
    const ignored = `spec.${pool}.replicas is ignored while autoscaling is set`;
    if (!decision)
      return { status: 'Unknown' as const, reason: reasons.unknown, message: `${pool.toUpperCase()}: no sample yet; ${ignored}` };
    const { reason, to, message } = decision;
    return {
      status: failures[reason] ?? ('True' as const),
      reason,
      message: `${pool.toUpperCase()}: ${to} wanted; ${message}; ${ignored}`,
    };
  });
  const first = order.flatMap((status) => parts.filter((part) => part.status === status))[0];
  const message = [...parts.map((part) => part.message), ...followed.map((field) => `${field} is followed`)].join('. ');
  return { type, status: first?.status ?? 'Unknown', reason: first?.reason ?? reasons.unknown, message };
}
