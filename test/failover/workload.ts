import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { r2rDeployments } from '../../src/controllers/resource-types.ts';
import * as kube from '../../src/kube/index.ts';
import type { KubeClient, Live, Manifest, ResourceType } from '../../src/kube/index.ts';
import type { AuditLine } from '../simulated/cluster.ts';

/** What the operator makes of an R2RDeployment, by how many of each. */
export const childKinds = [
  kube.configMaps,
  kube.controllerRevisions,
  kube.deployments,
  kube.networkPolicies,
  kube.roleBindings,
  kube.roles,
  kube.serviceAccounts,
  kube.services,
] as readonly ResourceType[];

export function example(namespace: string, name: string): Manifest {
  const file = readFileSync(join(import.meta.dirname, '../../examples/r2rdeployment.yaml'), 'utf8');
  return { ...(parse(file) as Manifest), metadata: { name, namespace } };
}

/** Children by kind and name, of all R2RDeployments of the namespace. */
export async function childrenIn(client: KubeClient, namespace: string): Promise<ReadonlyMap<string, Live>> {
  const lists = await Promise.all(
    childKinds.map((type) => client.list(type, { namespace, labelSelector: 'app.kubernetes.io/managed-by' })),
  );
  return new Map(lists.flatMap(({ items }) => items.map((item) => [`${item.kind} ${item.metadata.name}`, item] as const)));
}

/** Whether the operator has looked at the present spec. */
export async function isObserved(client: KubeClient, namespace: string, name: string): Promise<boolean> {
  const { metadata, status } = await client.get(r2rDeployments, { namespace, name });
  return status?.observedGeneration === metadata.generation;
}

/** Objects that were made more than once: a create or an apply that makes something is answered 201. */
export function madeTwice(lines: readonly AuditLine[]): readonly string[] {
  const made = lines
    .filter(({ responseStatus, objectRef }) => responseStatus?.code === 201 && objectRef?.resource !== 'events')
    .map(({ objectRef }) => `${objectRef?.resource} ${objectRef?.namespace}/${objectRef?.name}`);
  return made.filter((what, index) => made.indexOf(what) !== index);
}
