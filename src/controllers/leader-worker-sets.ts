/** LeaderWorkerSets (https://lws.sigs.k8s.io): what makes the pods of an LLM that spans nodes. The cluster need not know the kind. */
import { reasons } from '../api/conditions.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { resourceType } from '../kube/index.ts';
import type { KubeObject, Live } from '../kube/index.ts';
import { leaderWorkerSetKind, leaderWorkerSetVersion } from '../manifests/index.ts';
import type { PodTemplates } from '../manifests/index.ts';
import type { Caches } from './caches.ts';
import type { Problem } from './pod-problem.ts';
import type { Workload } from './role-state.ts';

/** As far as this operator reads it; replicas are groups. */
export type LeaderWorkerSet = KubeObject & Pick<Workload, 'spec' | 'status'>;

const [group = '', version = ''] = leaderWorkerSetVersion.split('/');

export const leaderWorkerSets = resourceType<LeaderWorkerSet>({
  group,
  version,
  plural: 'leaderworkersets',
  kind: leaderWorkerSetKind,
  namespaced: true,
});

/** Its first releases did not say which generation the status is about; the counts in it are compared anyway. */
export function asWorkload(set: Live<LeaderWorkerSet>): Live<Workload> {
  const { status, metadata } = set;
  if (!status || status.observedGeneration !== undefined) return set;
  return { ...set, status: { ...status, observedGeneration: metadata.generation } };
}

/** Why the LLM's pods cannot be made, where they need a kind that the cluster does not know. Everything else is made all the same. */
export function missingKind(caches: Caches, { spec }: R2RDeployment, { group }: PodTemplates): Problem | undefined {
  if (!group || !caches.leaderWorkerSets.absent) return undefined;
  return {
    reason: reasons.leaderWorkerSetsMissing,
    message:
      `spec.llm.nodes is ${spec.llm.nodes}, and the cluster knows no LeaderWorkerSets (${leaderWorkerSetVersion}); ` +
      'install them (https://lws.sigs.k8s.io/docs/installation), or set llm.nodes to 1',
  };
}
