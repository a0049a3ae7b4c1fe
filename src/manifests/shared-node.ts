import { cacheIsOnOneNode, cachedModels, modelCacheClaim } from '../api/cached-models.ts';
import { modelLabelKeys } from '../api/model-job-names.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { routerLabelKeys, workspaceLabel } from '../api/r2rrouter-names.ts';
import type { JsonObject } from './json.ts';

/**
 * A volume for one node: all pods that use it go to the node of those that do already. The scheduler lets the first one go anywhere,
 * since it attracts itself.
 */
export function togetherOn(claim: string): JsonObject {
  return togetherWith([nodeLabels(claim)]);
}

/** The same for several volumes, by the labels of the pods that use each. */
export function togetherWith(labels: readonly Readonly<Record<string, string>>[]): JsonObject {
  return {
    podAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: labels.map((matchLabels) => ({
        labelSelector: { matchLabels },
        topologyKey: 'kubernetes.io/hostname',
      })),
    },
  };
}

/** Labels by which pods that use the claim attract each other. */
export function nodeLabels(claim: string | undefined): Record<string, string> {
  return claim === undefined ? {} : { [routerLabelKeys.workspace]: workspaceLabel(claim) };
}

/** The same for downloads to a cache of models: pods of a deployment may use a workspace besides. */
export function cacheNodeLabels(claim: string): Record<string, string> {
  return { [modelLabelKeys.cache]: workspaceLabel(claim) };
}

/** Labels that the pods of each role need for the cache, where it is on a volume for one node. Routers read the folders of both models. */
export function cacheNodes(deployment: R2RDeployment): Readonly<Record<'slm' | 'llm', readonly Readonly<Record<string, string>>[]>> {
  const own = cacheIsOnOneNode(deployment) ? [cacheNodeLabels(modelCacheClaim(deployment))] : [];
  const holdsLLM = cachedModels(deployment).some(({ roles }) => roles.includes('llm'));
  return { slm: own, llm: holdsLLM ? own : [] };
}
