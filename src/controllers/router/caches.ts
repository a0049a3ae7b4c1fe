import { labelKeys, managedBy, toSelector } from '../../api/names.ts';
import { routerJobComponent } from '../../api/r2rrouter-names.ts';
import { jobs, persistentVolumeClaims } from '../../kube/index.ts';
import type { Informer, KubeObject, Live, Manager, ObjectKey } from '../../kube/index.ts';
import type { Job, PersistentVolumeClaim, Pod } from '../../kube/resources.ts';
import { kindKey, podsOfInstance } from '../caches.ts';
import type { Caches } from '../caches.ts';

/** What a reconcile of a router reads besides what deployments read too. */
export interface RouterCaches extends Caches {
  readonly jobs: Informer<Job>;
  readonly claims: Informer<PersistentVolumeClaim>;
}

export function makeRouterCaches(manager: Manager, shared: Caches): RouterCaches {
  const labelSelector = toSelector({ [labelKeys.managedBy]: managedBy });
  const own = { jobs: manager.informer(jobs, { labelSelector }), claims: manager.informer(persistentVolumeClaims, { labelSelector }) };
  const byKind = Object.values(own).map((informer) => [kindKey(informer.type), informer as unknown as Informer<KubeObject>] as const);
  return { ...shared, ...own, children: new Map([...shared.children, ...byKind]) };
}

/** Pods of a router's Jobs, by the Job's UID. */
export function podsOfJobs(caches: RouterCaches, router: ObjectKey): ReadonlyMap<string, readonly Live<Pod>[]> {
  return Map.groupBy(
    podsOfInstance(caches, router, 'router-job'),
    ({ metadata }) => metadata.ownerReferences?.find(({ kind }) => kind === 'Job')?.uid ?? '',
  );
}

/** The key of the router whose Job a pod belongs to. */
export function routerOfPod({ metadata }: Live): ObjectKey[] {
  const { labels = {}, namespace } = metadata;
  const name = labels[labelKeys.instance];
  return name !== undefined && labels[labelKeys.component] === routerJobComponent ? [{ namespace, name }] : [];
}
