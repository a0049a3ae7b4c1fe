import { ApiObject } from 'cdk8s';
import type { Chart } from 'cdk8s';
import { labelKeys, labels, revisionNames, workerComponent } from '../api/names.ts';
import type { LlmServer } from '../api/model-server.ts';
import { httpProbe } from './container.ts';
import { engineContainer, engineResources, gpuCount } from './engine-container.ts';
import type { JsonObject } from './json.ts';
import type { RenderOptions } from './options.ts';

/** The pods beside the leader, of an LLM that spans nodes. */
export interface PodGroup {
  /** Pods of one replica, the leader included. */
  readonly size: number;
  readonly worker: JsonObject;
}

export const leaderWorkerSetVersion = 'leaderworkerset.x-k8s.io/v1';
export const leaderWorkerSetKind = 'LeaderWorkerSet';

/** GPUs of one of its pods. */
export function gpusPerNode(llm: LlmServer): number {
  return gpuCount(llm, 'llm') / llm.nodes;
}

/** The leader's container: it alone serves. */
export function leaderContainer(llm: LlmServer, options: RenderOptions): JsonObject {
  return { ...engineContainer(llm, 'llm', options, true), resources: engineResources(llm, gpusPerNode(llm)) };
}

/** A worker's: the same command, which finds out from its rank. It answers nothing but /health, and that only once its part is loaded. */
export function workerContainer(llm: LlmServer, options: RenderOptions): JsonObject {
  return {
    ...leaderContainer(llm, options),
    startupProbe: httpProbe('/health', 'engine', { periodSeconds: 2, failureThreshold: 600, timeoutSeconds: 5 }),
    readinessProbe: httpProbe('/health', 'engine', { periodSeconds: 5, failureThreshold: 3, timeoutSeconds: 5 }),
  };
}

/** Labels of a worker: of a component of its own, so that whatever selects or counts LLM pods means leaders. */
export function workerLabels(instance: string, revision: string): Record<string, string> {
  return { ...labels(instance, revision), [labelKeys.component]: workerComponent };
}

/** The LeaderWorkerSet in the place of the LLM's Deployment. */
export function addLeaderWorkerSet(
  chart: Chart,
  instance: string,
  revision: string,
  { replicas, leader, group }: { readonly replicas: number; readonly leader: JsonObject; readonly group: PodGroup },
): void {
  new ApiObject(chart, 'llm-group', {
    apiVersion: leaderWorkerSetVersion,
    kind: leaderWorkerSetKind,
    metadata: { name: revisionNames(instance, revision).group, labels: { [labelKeys.component]: 'llm' } },
    spec: {
      replicas,
      // The leader is ready only when all workers are.
      startupPolicy: 'LeaderCreated',
      leaderWorkerTemplate: {
        size: group.size,
        // The parts of a model cannot do without each other, and none can join a group that has begun.
        restartPolicy: 'RecreateGroupOnPodRestart',
        leaderTemplate: leader,
        workerTemplate: group.worker,
      },
    },
  });
}
