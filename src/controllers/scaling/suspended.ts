import { reasons, setConditions } from '../../api/conditions.ts';
import type { R2RDeployment } from '../../api/r2rdeployment.ts';
import type { Live } from '../../kube/index.ts';
import { withSuspension } from '../pod-plan.ts';
import type { SettledPools } from './pools.ts';

/** Pools of a suspended deployment: nothing is decided about them. What they were is kept for later. */
export function suspendedPools(deployment: Live<R2RDeployment>): SettledPools {
  const { metadata, status } = deployment;
  const condition = { type: 'ScalingReady', status: 'True', reason: reasons.suspended, message: 'suspended by spec.suspend' } as const;
  return {
    deployment: withSuspension(deployment),
    told: (next, at) => ({
      ...next,
      conditions: setConditions(next.conditions, [condition], metadata.generation ?? 0, at),
      ...(status?.scaling && { scaling: status.scaling }),
    }),
    requeueAfterMs: undefined,
  };
}
