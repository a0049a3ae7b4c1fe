/** How the pools of a deployment may be scaled, in the words of the autoscaler. */
import type { AutoscalingSpec } from '../../api/autoscaling-spec.ts';
import type { R2RDeploymentSpec } from '../../api/r2rdeployment.ts';
import type { ScalingPolicy } from '../../autoscaler/index.ts';
import type { Pod } from '../../kube/resources.ts';
import { gpuCount, routerGpuCount } from '../../manifests/index.ts';

export const poolNames = ['llm', 'slm'] as const;
export type PoolName = (typeof poolNames)[number];

/** How old a sample may be that something is decided from, in ms: six times the interval. */
const staleAfterMs = 30_000;

/** GPUs of one pod. */
export function gpusPerReplica(pool: PoolName, spec: R2RDeploymentSpec): number {
  return gpuCount(spec[pool], pool) + (pool === 'slm' ? routerGpuCount(spec.router) : 0);
}

/** GPUs that a pod holds, by its limits. */
export function gpusOf({ spec }: Pod): number {
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  return containers.reduce((total, { resources }) => total + Number(resources?.limits?.['nvidia.com/gpu'] ?? 0), 0);
}

/** @param otherGpus - held by the pool's pods of other revisions */
export function policyOf(autoscaling: AutoscalingSpec, gpus: number, otherGpus: number): ScalingPolicy {
  const { scaleUp, scaleDown, gpuBudget } = autoscaling;
  const pace = ({ windowSeconds, maxStep }: AutoscalingSpec['scaleUp']) => ({ windowMs: windowSeconds * 1000, maxStep });
  return {
    minReplicas: autoscaling.minReplicas,
    maxReplicas: autoscaling.maxReplicas,
    gpusPerReplica: gpus,
    gpuBudget: gpuBudget === undefined ? undefined : Math.max(0, gpuBudget - otherGpus),
    targetUtilization: autoscaling.targetUtilization,
    capacityPerReplica: autoscaling.capacityPerReplica,
    tolerance: autoscaling.tolerance,
    scaleUp: pace(scaleUp),
    scaleDown: pace(scaleDown),
    pendingDeadlineMs: autoscaling.pendingDeadlineSeconds * 1000,
    staleAfterMs,
    latencyTargetMs: autoscaling.latencyTargetMilliseconds,
    idleBeforeZeroMs: (autoscaling.idleSecondsBeforeZero ?? Infinity) * 1000,
  };
}

/** For the time of a roll-out: pods that the revision that answers has stay with it, and the new one must be as strong. New bounds are for afterwards. */
export function onlyUp(policy: ScalingPolicy, wanted: number): ScalingPolicy {
  const { gpuBudget, gpusPerReplica, maxReplicas } = policy;
  return {
    ...policy,
    minReplicas: wanted,
    maxReplicas: Math.max(maxReplicas, wanted),
    gpuBudget: gpuBudget === undefined ? undefined : Math.max(gpuBudget, wanted * gpusPerReplica),
  };
}
