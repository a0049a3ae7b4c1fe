import { labelKeys } from '../../api/names.ts';
import { routerJobComponent } from '../../api/r2rrouter-names.ts';
import type { Live, ObjectKey } from '../../kube/index.ts';
import type { Pod } from '../../kube/resources.ts';
import { podsOfInstance } from '../caches.ts';
import type { Caches } from '../caches.ts';

/** Pods of a router's Jobs, by the Job's UID. */
export function podsOfJobs(caches: Caches, router: ObjectKey): ReadonlyMap<string, readonly Live<Pod>[]> {
  return byJob(podsOfInstance(caches, router, routerJobComponent));
}

/** Pods by the UID of the Job that made them. */
export function byJob(pods: readonly Live<Pod>[]): ReadonlyMap<string, readonly Live<Pod>[]> {
  return Map.groupBy(pods, ({ metadata }) => metadata.ownerReferences?.find(({ kind }) => kind === 'Job')?.uid ?? '');
}

/** The key of the router whose Job a pod belongs to. */
export function routerOfPod({ metadata }: Live): ObjectKey[] {
  const { labels = {}, namespace } = metadata;
  const name = labels[labelKeys.instance];
  return name !== undefined && labels[labelKeys.component] === routerJobComponent ? [{ namespace, name }] : [];
}
