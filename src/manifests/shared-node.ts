import { routerLabelKeys, workspaceLabel } from '../api/r2rrouter-names.ts';
import type { JsonObject } from './json.ts';

/**
 * A volume for one node: all pods that use it go to the node of those that do already. The scheduler lets the first one go anywhere,
 * since it attracts itself.
 */
export function togetherOn(claim: string): JsonObject {
  return {
    podAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { labelSelector: { matchLabels: nodeLabels(claim) }, topologyKey: 'kubernetes.io/hostname' },
      ],
    },
  };
}

/** Labels by which pods that use the claim attract each other. */
export function nodeLabels(claim: string | undefined): Record<string, string> {
  return claim === undefined ? {} : { [routerLabelKeys.workspace]: workspaceLabel(claim) };
}
