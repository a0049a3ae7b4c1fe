import { labelKeys, managedBy, toSelector } from '../api/names.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import type { R2RRouter } from '../api/r2rrouter.ts';
import { modelJobComponent } from '../api/model-job-names.ts';
import { routerJobComponent } from '../api/r2rrouter-names.ts';
import {
  configMaps,
  controllerRevisions,
  deployments,
  jobs,
  keyOf,
  keyString,
  networkPolicies,
  persistentVolumeClaims,
  podDisruptionBudgets,
  pods,
  roleBindings,
  roles,
  serviceAccounts,
  services,
} from '../kube/index.ts';
import type { Informer, KubeObject, Live, Manager, ObjectKey, ResourceType } from '../kube/index.ts';
import type { ControllerRevision, Deployment, Job, PersistentVolumeClaim, Pod, Service } from '../kube/resources.ts';
import { keptOfPod } from './kept-pods.ts';
import { leaderWorkerSets } from './leader-worker-sets.ts';
import type { LeaderWorkerSet } from './leader-worker-sets.ts';
import { followedRouter } from './router-reference.ts';
import { r2rDeployments, r2rRouters } from './resource-types.ts';

/** Local copies of everything a reconcile reads: R2RDeployments and R2RRouters, and of the other kinds only what this operator manages. */
export interface Caches {
  readonly r2r: Informer<R2RDeployment>;
  readonly routers: Informer<R2RRouter>;
  readonly pods: Informer<Pod>;
  readonly deployments: Informer<Deployment>;
  readonly services: Informer<Service>;
  readonly records: Informer<ControllerRevision>;
  /** Steps of routers, and downloads of models. */
  readonly jobs: Informer<Job>;
  readonly claims: Informer<PersistentVolumeClaim>;
  readonly leaderWorkerSets: Informer<LeaderWorkerSet>;
  /** Every kind of child by `apiVersion/kind`. */
  readonly children: ReadonlyMap<string, Informer<KubeObject>>;
}

export function makeCaches(manager: Manager): Caches {
  const labelSelector = toSelector({ [labelKeys.managedBy]: managedBy });
  const children = new Map<string, Informer<KubeObject>>();
  const child = <T extends KubeObject>(type: ResourceType<T>, optional = false): Informer<T> => {
    const informer = manager.informer(type, { labelSelector, optional });
    children.set(kindKey(type), informer as unknown as Informer<KubeObject>);
    return informer;
  };
  for (const type of [configMaps, serviceAccounts, roles, roleBindings, networkPolicies, podDisruptionBudgets]) child(type as ResourceType);
  return {
    r2r: manager.informer(r2rDeployments, {
      indexes: {
        router: (deployment) => [followedRouter(deployment) ?? []].flat(),
        // CRDs of before do not know the field, and hand over what the user wrote
        autoscaled: ({ spec }) => (spec.llm.autoscaling || spec.slm.autoscaling ? ['yes'] : []),
      },
    }),
    routers: manager.informer(r2rRouters),
    pods: manager.informer(pods, { labelSelector, keep: keptOfPod, indexes: { instance: (pod) => [instanceIndex(pod)] } }),
    deployments: child(deployments),
    services: child(services),
    records: child(controllerRevisions),
    jobs: child(jobs),
    claims: child(persistentVolumeClaims),
    leaderWorkerSets: child(leaderWorkerSets, true),
    children,
  };
}

/** Pods hang on ReplicaSets or Jobs, so they are found by label and not by owner. */
function instanceIndex({ metadata }: Live): string {
  return `${metadata.namespace ?? ''}/${metadata.labels?.[labelKeys.instance] ?? ''}`;
}

/** `deployment`: the pods that answer. */
type PodPurpose = 'deployment' | typeof routerJobComponent | typeof modelJobComponent;

/** Of an R2RDeployment, of its downloads, or of the Jobs of an R2RRouter, which may have the same name. */
export function podsOfInstance(caches: Caches, { namespace, name }: ObjectKey, of: PodPurpose = 'deployment'): readonly Live<Pod>[] {
  return caches.pods.byIndex('instance', `${namespace ?? ''}/${name}`).filter((pod) => purposeOf(pod) === of);
}

/** The keys of the deployments that follow an R2RRouter. */
export function followersOf(caches: Caches, router: Live): ObjectKey[] {
  const followers = caches.r2r.byIndex('router', keyString(keyOf(router)));
  return followers.map(keyOf);
}

/** The key of a pod's R2RDeployment; none for a pod of an R2RRouter's Job. */
export function instanceKey(pod: Live): ObjectKey[] {
  const { labels, namespace } = pod.metadata;
  const name = labels?.[labelKeys.instance];
  return name && namespace && purposeOf(pod) !== routerJobComponent ? [{ namespace, name }] : [];
}

function purposeOf({ metadata }: Live): PodPurpose {
  const component = metadata.labels?.[labelKeys.component];
  return component === routerJobComponent || component === modelJobComponent ? component : 'deployment';
}

export function kindKey({ group: kindGroup, version: kindVersion, kind: kindName }: ResourceType): string {
  return `${kindGroup === '' ? kindVersion : `${kindGroup}/${kindVersion}`}/${kindName}`;
}

/** The informer of a kind of child. */
export function informerOf(
  { children }: Caches,
  { apiVersion, kind }: { readonly apiVersion: string; readonly kind: string },
): Informer<KubeObject> {
  const informer = children.get(`${apiVersion}/${kind}`);
  if (!informer) throw new TypeError(`no cache for ${apiVersion} ${kind}`);
  return informer;
}

/** The cached children of one R2RDeployment, of every kind. */
export function childrenOf(caches: Caches, uid: string): { readonly type: ResourceType; readonly object: Live }[] {
  return [...caches.children.values()].flatMap((informer) => informer.ownedBy(uid).map((object) => ({ type: informer.type, object })));
}
