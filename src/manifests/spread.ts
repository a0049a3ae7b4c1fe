import { selectorLabels } from '../api/names.ts';
import type { Component } from '../api/names.ts';
import type { JsonObject } from './json.ts';

/**
 * Spreads the pods of a role over nodes where there are several with room. By node alone: a constraint by zone beside it would switch both off
 * on nodes without a zone, and every token from the LLM crosses the network.
 */
export function spreadOverNodes(instance: string, revision: string, role: Component): JsonObject {
  return {
    topologySpreadConstraints: [
      {
        topologyKey: 'kubernetes.io/hostname',
        maxSkew: 1,
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: selectorLabels(instance, revision, role) },
      },
    ],
  };
}
