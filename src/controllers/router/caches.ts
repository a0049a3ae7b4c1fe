import { labelKeys, managedBy, toSelector } from '../../api/names.ts';
import { routerJobComponent } from '../../api/r2rrouter-names.ts';
import { jobs, persistentVolumeClaims } from '../../kube/index.ts';
import type { Informer, KubeObject, Live, Manager, ObjectKey } from '../../kube/index.ts';
import type { Job, PersistentVolumeClaim, Pod } from '../../kube/resources.ts';
import { podsOfInstance } from '../caches.ts';
import type { Caches } from '../caches.ts';

/** What a reconcile of a router reads besides what deployments read too. */
export interface RouterCaches extends Caches {
  readonly jobs: Informer<Job>;
  readonly claims: Informer<PersistentVolumeClaim>;
}

export function makeRouterCaches(manager: Manager, shared: Caches): RouterCaches {
  const labelSelector = toSelector({ [labelKeys.managedBy]: managedBy });
  return {
    ...shared,
    jobs: manager.informer(jobs, { labelSelector }),
    claims: manager.informer(persistentVolumeClaims, { labelSelector }),
  };
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

/** Informers of what a router's Jobs need, by `apiVersion/kind`. */
export function informerOf(caches: RouterCaches, { apiVersion, kind }: Pick<KubeObject, 'apiVersion' | 'kind'>): Informer<KubeObject> {
  const found =
    kind === 'Job' ? caches.jobs : kind === 'PersistentVolumeClaim' ? caches.claims : caches.children.get(`${apiVersion}/${kind}`);
  if (!found) throw new TypeError(`no cache for ${apiVersion ?? ''} ${kind ?? ''}`);
  return found;
}
