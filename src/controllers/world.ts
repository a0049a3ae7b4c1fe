import { schemeOf } from '../api/endpoint-spec.ts';
import { endpointURL, labelKeys, revisionNames, selectorLabels, toSelector, workerComponent } from '../api/names.ts';
import type { RevisionNames, Scheme } from '../api/names.ts';
import { mountedSecrets } from '../api/mounted-secrets.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { networkUri } from '../api/router-offer.ts';
import type { RouterStatus } from '../api/router-status.ts';
import type { Informer, Live } from '../kube/index.ts';
import type { Deployment, Pod } from '../kube/resources.ts';
import { leaderWorkerSetKind } from '../manifests/index.ts';
import { podsOfInstance } from './caches.ts';
import type { Caches } from './caches.ts';
import { colocatedRoles } from './colocated-state.ts';
import { asWorkload } from './leader-worker-sets.ts';
import type { LeaderWorkerSet } from './leader-worker-sets.ts';
import type { Problem } from './pod-problem.ts';
import {
  allReadySince,
  readyEngines,
  readyRouterAddresses,
  roleState,
  routerState,
  runningRouterAddresses,
  spokenSchemes,
} from './role-state.ts';
import type { RoleState, Workload } from './role-state.ts';
import type { RevisionState } from './rollout.ts';
import { described } from './rollout-history.ts';
import type { Pause } from './rollout-status.ts';
import type { Asked } from './quiet-looks.ts';
import { aggregateRouting } from './routing.ts';
import type { Observation, ReplicaCount } from './status.ts';
import { isStuck } from './stuck-pods.ts';

/** A revision's state, and where its routers can be reached. */
export interface ReachableRevision extends RevisionState {
  readonly routerAddresses: readonly string[];
  /** LLM replicas that it asks for. */
  readonly llmReplicas: number;
}

/**
 * Every revision that has a Deployment or pods, and the target in any case.
 *
 * @param applied - children as this reconcile left them: newer than the cache
 */
export function revisionStates(
  caches: Caches,
  deployment: Live<R2RDeployment>,
  target: string,
  applied: readonly Live[],
  now: Date,
): ReachableRevision[] {
  const all = workloadsOf(caches, deployment, applied);
  const pods = podsOfInstance(caches, deployment.metadata).filter((pod) => !isStuck(pod, now));
  const present = new Set([target, ...[...all, ...pods].flatMap(({ metadata }) => metadata.labels?.[labelKeys.revision] ?? [])]);
  return [...present].map((revision) => {
    const names = revisionNames(deployment.metadata.name, revision);
    const slmPods = select(pods, revision, 'slm');
    const llmPods = select(pods, revision, 'llm');
    const [slm, llm] = [named(all, names.slm), llmWorkload(all, names)];
    // an old revision is measured by its own replica counts: the present spec speaks of the target
    const wanted = (child: Live<Workload> | undefined, spec: number): number => (revision === target ? spec : (child?.spec?.replicas ?? 0));
    const roles = [
      roleState(wanted(slm, deployment.spec.slm.replicas), slm, slmPods),
      ...(revision === target && isColocated(deployment) ? [] : [roleState(wanted(llm, deployment.spec.llm.replicas), llm, llmPods)]),
    ];
    return {
      revision,
      complete: roles.every(({ complete }) => complete),
      routerPods: slmPods.length,
      // what makes the SLM pods is applied last
      made: slm !== undefined,
      started: slmPods.length + llmPods.length > 0 || [slm, llm].some((child) => (child?.spec?.replicas ?? 0) > 0),
      routerAddresses: readyRouterAddresses(slmPods),
      llmReplicas: llm?.spec?.replicas ?? 0,
    };
  });
}

export interface ReconcileOutcome {
  readonly deployment: Live<R2RDeployment>;
  /** The revision that pods are to be of. */
  readonly target: string;
  /** What of the present spec waits, because its strategy is None. */
  readonly paused: Pause | undefined;
  readonly serving: string;
  readonly configDigest: string;
  readonly applied: readonly Live[];
  readonly awaitedBundle: Problem | undefined;
  /** Why the LLM's pods cannot be made at all. */
  readonly llmProblem: Problem | undefined;
  readonly probeProblem: string | undefined;
  readonly stalled: Problem | undefined;
  readonly now: Date;
}

/** Looks at the target's children and asks all routers for their status. */
export async function observe(
  { caches, routers }: { readonly caches: Caches; readonly routers: Asked },
  outcome: ReconcileOutcome,
  signal: AbortSignal,
): Promise<Observation> {
  const { deployment, target, applied } = outcome;
  const { name, namespace = 'default', generation = 0 } = deployment.metadata;
  const all = workloadsOf(caches, deployment, applied);
  const pods = podsOfInstance(caches, deployment.metadata).filter((pod) => !isStuck(pod, outcome.now));
  const names = revisionNames(name, target);
  const slmPods = select(pods, target, 'slm');
  const llmPods = select(pods, target, 'llm');
  const colocated = isColocated(deployment);

  const addresses = runningRouterAddresses(slmPods);
  const others = runningRouterAddresses(
    pods.filter((pod) => pod.metadata.labels?.[labelKeys.component] === 'slm' && !slmPods.includes(pod)),
  );
  const ask = (list: readonly string[]): Promise<(RouterStatus | undefined)[]> =>
    Promise.all(list.map((address) => routers.status(address, signal)));
  const [answers, otherAnswers] = await Promise.all([ask(addresses), ask(others)]);
  const slm = named(all, names.slm);
  const units = deployment.spec.slm.replicas;
  const roles = colocated
    ? colocatedRoles(units, slm, slmPods, new Map(addresses.map((address, index) => [address, answers[index]])))
    : {
        slm: roleState(units, slm, slmPods),
        llm: llmRole(outcome, llmWorkload(all, names), [...llmPods, ...select(pods, target, workerComponent)]),
        readyEngines: readyEngines(slmPods),
        router: routerState(units, slmPods),
      };
  const known = answers.filter((answer): answer is RouterStatus => answer !== undefined);
  return {
    generation,
    now: outcome.now,
    endpoint: endpointURL(name, namespace, answeringScheme(deployment, select(pods, outcome.serving, 'slm'))),
    selector: toSelector(selectorLabels(name, undefined, colocated ? 'slm' : 'llm')),
    target,
    serving: outcome.serving,
    oldRevisions: [...all, ...pods].some(({ metadata }) => metadata.labels?.[labelKeys.revision] !== target),
    rollout: {
      ...deployment.spec.rollout,
      suspended: deployment.spec.suspend,
      paused: outcome.paused,
      described: described(deployment),
      pods: slmPods.length + llmPods.length,
      oldPods: pods.filter(({ metadata }) => metadata.labels?.[labelKeys.revision] !== target).length,
      readySince: allReadySince([...slmPods, ...llmPods]),
    },
    ...roles,
    llmScaledToZero: deployment.spec.pools?.llmScaledToZero ?? false,
    total: { slm: count(all, target, 'slm'), llm: count(all, target, 'llm', colocated ? slm : undefined) },
    configDigest: outcome.configDigest,
    networkUri: networkUri(deployment.spec.router),
    routers: known,
    unreachableRouters: answers.length - known.length,
    secrets: mountedSecrets(deployment.spec),
    routing: aggregateRouting([...known, ...otherAnswers.filter((answer) => answer !== undefined)], deployment.status?.routing),
    awaitedBundle: outcome.awaitedBundle,
    probeProblem: outcome.probeProblem,
    stalled: outcome.stalled,
  };
}

/** What the endpoint Service of a revision leads to: what the spec asks for, and what pods that are still to be replaced speak. */
export function endpointSchemes(caches: Caches, deployment: Live<R2RDeployment>, revision: string): ReadonlySet<Scheme> {
  const pods = select(podsOfInstance(caches, deployment.metadata), revision, 'slm');
  return new Set([schemeOf(deployment.spec.api), ...spokenSchemes(pods)]);
}

/** The spec's, unless only pods that are still to be replaced answer. */
function answeringScheme(deployment: R2RDeployment, servingPods: readonly Live<Pod>[]): Scheme {
  const wanted = schemeOf(deployment.spec.api);
  const spoken = spokenSchemes(servingPods, { ready: true });
  const [other = wanted] = spoken;
  return spoken.has(wanted) ? wanted : other;
}

/** What makes pods: Deployments, and LeaderWorkerSets of an LLM that spans nodes. */
function workloadsOf(caches: Caches, owner: Live<R2RDeployment>, applied: readonly Live[]): Live<Workload>[] {
  const of = (kind: string, informer: Informer<Deployment> | Informer<LeaderWorkerSet>): Live<Workload>[] => {
    const fresh = applied.filter((object) => object.kind === kind);
    const cached = informer.ownedBy(owner.metadata.uid).filter(({ metadata }) => !fresh.some((each) => each.metadata.uid === metadata.uid));
    return [...fresh, ...cached];
  };
  return [...of('Deployment', caches.deployments), ...of(leaderWorkerSetKind, caches.leaderWorkerSets).map(asWorkload)];
}

function named(all: readonly Live<Workload>[], name: string): Live<Workload> | undefined {
  return all.find(({ metadata }) => metadata.name === name);
}

function llmWorkload(all: readonly Live<Workload>[], { llm, group }: RevisionNames): Live<Workload> | undefined {
  return named(all, llm) ?? named(all, group);
}

function isColocated({ spec }: R2RDeployment): boolean {
  return spec.placement === 'Colocated';
}

function llmRole(
  { deployment, llmProblem }: ReconcileOutcome,
  workload: Live<Workload> | undefined,
  pods: readonly Live<Pod>[],
): RoleState {
  const role = roleState(deployment.spec.llm.replicas, workload, pods);
  // a pod's own problem comes before that of the budget
  const problem = llmProblem ?? role.problem ?? deployment.spec.pools?.llmProblem;
  return problem ? { ...role, problem } : role;
}

function select(pods: readonly Live<Pod>[], revision: string, component: 'slm' | 'llm' | typeof workerComponent): Live<Pod>[] {
  return pods.filter(
    ({ metadata }) => metadata.labels?.[labelKeys.revision] === revision && metadata.labels[labelKeys.component] === component,
  );
}

/** @param colocated - what makes pods that have this component too */
function count(all: readonly Live<Workload>[], target: string, component: 'slm' | 'llm', colocated?: Live<Workload>): ReplicaCount {
  const ofRole = all.filter((each) => each.metadata.labels?.[labelKeys.component] === component || each === colocated);
  const sum = (of: (status: NonNullable<Workload['status']>) => number | undefined, list = ofRole): number =>
    list.reduce((total, { status }) => total + (status ? (of(status) ?? 0) : 0), 0);
  return {
    replicas: sum(({ replicas }) => replicas),
    readyReplicas: sum(({ readyReplicas }) => readyReplicas),
    updatedReplicas: sum(
      ({ updatedReplicas }) => updatedReplicas,
      ofRole.filter(({ metadata }) => metadata.labels?.[labelKeys.revision] === target),
    ),
  };
}
