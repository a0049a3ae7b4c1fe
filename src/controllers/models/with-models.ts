import { setConditions } from '../../api/conditions.ts';
import type { R2RDeploymentStatus } from '../../api/r2rdeployment-status.ts';
import type { Observation } from '../status.ts';
import { modelsReady } from './conditions.ts';
import type { ModelsState } from './model-cache.ts';

/** An observation in which the roles of a revision that waits for its models say so. Pure. */
export function awaitingModels(seen: Observation, models: ModelsState | undefined): Observation {
  if (!models?.problem) return seen;
  const { byRole, problem, stalled } = models;
  return {
    ...seen,
    slm: { ...seen.slm, problem: byRole.slm },
    llm: { ...seen.llm, problem: byRole.llm },
    router: { ...seen.router, problem },
    ...(stalled && { stalled: seen.stalled ?? problem }),
  };
}

/** A status that also tells of the models; without any it has neither condition nor list. Pure. */
export function withModels(
  status: R2RDeploymentStatus,
  models: ModelsState | undefined,
  generation: number,
  now: Date,
): R2RDeploymentStatus {
  const { modelCache: _, ...rest } = status;
  if (!models) {
    const conditions = status.conditions?.filter(({ type }) => type !== 'ModelsReady');
    return { ...rest, ...(conditions && { conditions }) };
  }
  const condition = modelsReady(models.status, models.problem);
  return { ...rest, conditions: setConditions(status.conditions, [condition], generation, now), modelCache: models.status };
}

/** A status that goes on telling what was known of the models: nothing could be done about them. */
export function keptModels(status: R2RDeploymentStatus, before: R2RDeploymentStatus | undefined): R2RDeploymentStatus {
  return { ...status, ...(before?.modelCache && { modelCache: before.modelCache }) };
}
