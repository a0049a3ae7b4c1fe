import { resourcePath } from '../../src/kube/index.ts';
import type { KubeClient, ResourceType } from '../../src/kube/index.ts';
import * as kube from '../../src/kube/index.ts';
import { until, type Progress } from '../../test/cluster/progress.ts';
import { inParallel } from './parallel.ts';

/** What the operator makes itself. */
export const directKinds = [
  kube.configMaps,
  kube.controllerRevisions,
  kube.deployments,
  kube.networkPolicies,
  kube.podDisruptionBudgets,
  kube.roleBindings,
  kube.roles,
  kube.serviceAccounts,
  kube.services,
] as readonly ResourceType[];

/** What Kubernetes' own controllers make of that. */
const derivedKinds = [kube.replicaSets, kube.pods, kube.endpointSlices] as readonly ResourceType[];
export const allKinds = [...directKinds, ...derivedKinds];

/** Kubernetes puts these into every namespace. */
const ofEveryNamespace = new Set(['default', 'kube-root-ca.crt']);

interface Item {
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** How many objects there are below the namespaces with this prefix, by kind. */
export async function countObjects(client: KubeClient, prefix: string, kinds: readonly ResourceType[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const type of kinds) {
    const { items } = await client.list(type);
    const ours = (items as readonly Item[]).filter(({ metadata: { name, namespace = '' } }) => {
      return namespace.startsWith(`${prefix}-`) && !ofEveryNamespace.has(name);
    });
    if (ours.length > 0) counts[type.kind] = ours.length;
  }
  return counts;
}

export const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((total, count) => total + count, 0);

/** Deletes everything in these namespaces and waits until it is gone; the namespaces stay. @param kinds - besides those of {@link allKinds} */
export async function clear(
  client: KubeClient,
  names: readonly string[],
  kinds: readonly ResourceType[],
  progress: Progress,
): Promise<void> {
  // owners first, so that no controller makes anything again
  for (const type of [...kinds, ...directKinds]) {
    await inParallel(8, names.length, async (index) => {
      const namespace = names[index] ?? '';
      if (type.kind === 'ServiceAccount' || type.kind === 'ConfigMap') return; // the garbage collector takes those that have an owner
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' };
      await client.raw({ method: 'DELETE', path: resourcePath(type, { namespace }), body, deadlineMs: 300_000 });
    });
  }
  const prefix = (names[0] ?? '').replace(/-\d+$/, '');
  let last = '';
  await until(
    'everything is gone',
    1_200_000,
    async () => {
      const left = await countObjects(client, prefix, [...kinds, ...allKinds]);
      const text = JSON.stringify(left);
      if (text !== last && sum(left) > 0) progress(`to be removed: ${text}`);
      last = text;
      return sum(left) === 0;
    },
    3_000,
  );
}
