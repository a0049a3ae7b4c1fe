import { containers } from '../api/names.ts';
import type { Scheme } from '../api/names.ts';
import type { KubeObject } from '../kube/index.ts';
import type { Pod } from '../kube/resources.ts';
import { leaderWorkerSetKind } from '../manifests/index.ts';
import { creationProblem, isReady, podProblem } from './pod-problem.ts';
import type { Problem } from './pod-problem.ts';

/** What makes a role's pods: a Deployment, or a LeaderWorkerSet, whose replicas are groups. */
export interface Workload extends KubeObject {
  readonly spec?: { readonly replicas?: number | undefined } | undefined;
  readonly status?:
    | {
        readonly observedGeneration?: number | undefined;
        readonly replicas?: number | undefined;
        readonly updatedReplicas?: number | undefined;
        readonly readyReplicas?: number | undefined;
        readonly conditions?: readonly WorkloadCondition[] | undefined;
      }
    | undefined;
}

interface WorkloadCondition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
}

/** What the cluster says of one role (engine pods of one side) in one revision. */
export interface RoleState {
  /** Replicas the spec asks for. */
  readonly wanted: number;
  /** Pods that exist, run the newest template, and are ready. */
  readonly replicas: number;
  readonly updated: number;
  readonly ready: number;
  /** Its controller has seen the newest template, and all wanted replicas run it and are ready; no other pod is left. */
  readonly complete: boolean;
  /** Why the role is not complete, if a pod or the Deployment says so. */
  readonly problem: Problem | undefined;
  /** The Deployment gave up waiting (`progressDeadlineSeconds`), which it never does for pods that it is scaled up to. */
  readonly deadlineExceeded: boolean;
  /** When the oldest pod that is not ready was made. */
  readonly waitingSince: Date | undefined;
}

/**
 * @param wanted - replicas of the spec
 * @param workload - the child, undefined while it is not in the cache
 * @param pods - the role's pods of the same revision
 */
export function roleState(wanted: number, workload: Workload | undefined, pods: readonly Pod[]): RoleState {
  const status = workload?.status;
  const replicas = status?.replicas ?? 0;
  const updated = status?.updatedReplicas ?? 0;
  const ready = Math.min(status?.readyReplicas ?? 0, readyReplicas(workload, pods));
  const observed = (status?.observedGeneration ?? -1) >= (workload?.metadata?.generation ?? 0) && workload?.spec?.replicas === wanted;
  const complete = observed && replicas === wanted && updated === wanted && ready === wanted;
  return {
    wanted,
    replicas,
    updated,
    ready,
    complete,
    problem: complete ? undefined : (podProblem(pods, [containers.engine]) ?? creationProblem(workload)),
    deadlineExceeded:
      status?.conditions?.some(({ type, reason }) => type === 'Progressing' && reason === 'ProgressDeadlineExceeded') ?? false,
    waitingSince: oldestUnready(pods),
  };
}

/** What the pods say: a Deployment's count comes later, on a busy cluster many seconds, when they are gone. A replica of a group is many pods. */
function readyReplicas(workload: Workload | undefined, pods: readonly Pod[]): number {
  if (workload?.kind === leaderWorkerSetKind) return Infinity;
  return pods.filter((pod) => !pod.metadata?.deletionTimestamp && isReady(pod)).length;
}

function oldestUnready(pods: readonly Pod[]): Date | undefined {
  const made = pods
    .filter((pod) => !pod.metadata?.deletionTimestamp && !isReady(pod))
    .flatMap(({ metadata }) => metadata?.creationTimestamp ?? []);
  // RFC 3339 times sort as text
  const [oldest] = made.sort();
  return oldest === undefined ? undefined : new Date(oldest);
}

/** When the last of the pods became ready; undefined while one is not. */
export function allReadySince(pods: readonly Pod[]): Date | undefined {
  if (pods.length === 0 || !pods.every(isReady)) return undefined;
  const times = pods.flatMap(({ status }) => status?.conditions?.find(({ type }) => type === 'Ready')?.lastTransitionTime ?? []);
  const newest = times.sort().at(-1);
  return newest === undefined ? undefined : new Date(newest);
}

/** The routers of a revision: containers of the SLM pods with a readiness of their own. */
export interface RouterState {
  readonly wanted: number;
  readonly ready: number;
  readonly problem: Problem | undefined;
}

export function routerState(wanted: number, slmPods: readonly Pod[]): RouterState {
  const ready = slmPods.filter(
    (pod) =>
      !pod.metadata?.deletionTimestamp && pod.status?.containerStatuses?.some(({ name, ready }) => name === containers.router && ready),
  ).length;
  return { wanted, ready, problem: ready >= wanted ? undefined : podProblem(slmPods, [containers.router]) };
}

/** Engines of SLM pods that are ready, whether or not their router is. */
export function readyEngines(slmPods: readonly Pod[]): number {
  return slmPods.filter(hasReadyEngine).length;
}

export function hasReadyEngine({ status }: Pod): boolean {
  return [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])].some(
    ({ name, ready }) => name === containers.engine && ready,
  );
}

/** Addresses of the routers that answer requests. */
export function readyRouterAddresses(slmPods: readonly Pod[]): string[] {
  return addressesWhere(slmPods, isReady);
}

/** Addresses of the routers that run, ready or not: one that is not says what it waits for. */
export function runningRouterAddresses(slmPods: readonly Pod[]): string[] {
  return addressesWhere(slmPods, ({ status }) =>
    (status?.containerStatuses ?? []).some(({ name, state }) => name === containers.router && state?.running !== undefined),
  );
}

function addressesWhere(slmPods: readonly Pod[], holds: (pod: Pod) => boolean): string[] {
  return slmPods.flatMap((pod) => (!pod.metadata?.deletionTimestamp && pod.status?.podIP && holds(pod) ? [pod.status.podIP] : []));
}

/** What the routers of pods that are not ending speak, by the name of their API port; with `ready` only those that answer. */
export function spokenSchemes(slmPods: readonly Pod[], { ready = false } = {}): ReadonlySet<Scheme> {
  const portNames = slmPods
    .filter((pod) => !pod.metadata?.deletionTimestamp && (!ready || isReady(pod)))
    .flatMap(({ spec }) => spec?.containers.find(({ name }) => name === containers.router)?.ports ?? [])
    .map(({ name }) => name);
  return new Set((['http', 'https'] as const).filter((scheme) => portNames.includes(scheme)));
}
