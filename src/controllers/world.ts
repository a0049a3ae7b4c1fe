import { schemeOf } from '../api/endpoint-spec.ts';
import { endpointURL, labelKeys, revisionNames, selectorLabels, toSelector } from '../api/names.ts';
import type { Scheme } from '../api/names.ts';
import { mountedSecrets } from '../api/mounted-secrets.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { networkUri } from '../api/router-offer.ts';
import type { RouterStatus } from '../api/router-status.ts';
import type { Live } from '../kube/index.ts';
import type { Deployment, Pod } from '../kube/resources.ts';
import { podsOfInstance } from './caches.ts';
import type { Caches } from './caches.ts';
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
import type { RevisionState } from './rollout.ts';
import { described } from './rollout-history.ts';
import type { Pause } from './rollout-status.ts';
import type { RouterClient } from './router-client.ts';
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
  const all = deploymentsOf(caches, deployment, applied);
  const pods = podsOfInstance(caches, deployment.metadata).filter((pod) => !isStuck(pod, now));
  const present = new Set([target, ...[...all, ...pods].flatMap(({ metadata }) => metadata.labels?.[labelKeys.revision] ?? [])]);
  return [...present].map((revision) => {
    const names = revisionNames(deployment.metadata.name, revision);
    const find = (name: string): Live<Deployment> | undefined => all.find(({ metadata }) => metadata.name === name);
    const slmPods = select(pods, revision, 'slm');
    const llmPods = select(pods, revision, 'llm');
    const [slm, llm] = [find(names.slm), find(names.llm)];
    // an old revision is measured by its own replica counts: the present spec speaks of the target
    const wanted = (child: Live<Deployment> | undefined, spec: number): number =>
      revision === target ? spec : (child?.spec?.replicas ?? 0);
    const roles = [
      roleState(wanted(slm, deployment.spec.slm.replicas), slm, slmPods),
      roleState(wanted(llm, deployment.spec.llm.replicas), llm, llmPods),
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
  readonly probeProblem: string | undefined;
  readonly stalled: Problem | undefined;
  readonly now: Date;
}

/** Looks at the target's children and asks all routers for their status. */
export async function observe(
  { caches, routers }: { readonly caches: Caches; readonly routers: RouterClient },
  outcome: ReconcileOutcome,
  signal: AbortSignal,
): Promise<Observation> {
  const { deployment, target, applied } = outcome;
  const { name, namespace = 'default', generation = 0 } = deployment.metadata;
  const all = deploymentsOf(caches, deployment, applied);
  const pods = podsOfInstance(caches, deployment.metadata).filter((pod) => !isStuck(pod, outcome.now));
  const names = revisionNames(name, target);
  const slmPods = select(pods, target, 'slm');
  const llmPods = select(pods, target, 'llm');
  const find = (child: string): Live<Deployment> | undefined => all.find(({ metadata }) => metadata.name === child);

  const addresses = runningRouterAddresses(slmPods);
  const others = runningRouterAddresses(
    pods.filter((pod) => pod.metadata.labels?.[labelKeys.component] === 'slm' && !slmPods.includes(pod)),
  );
  const ask = (list: readonly string[]): Promise<(RouterStatus | undefined)[]> =>
    Promise.all(list.map((address) => routers.status(address, signal)));
  const [answers, otherAnswers] = await Promise.all([ask(addresses), ask(others)]);
  const known = answers.filter((answer): answer is RouterStatus => answer !== undefined);
  return {
    generation,
    now: outcome.now,
    endpoint: endpointURL(name, namespace, answeringScheme(deployment, select(pods, outcome.serving, 'slm'))),
    selector: toSelector(selectorLabels(name, undefined, 'llm')),
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
    slm: roleState(deployment.spec.slm.replicas, find(names.slm), slmPods),
    llm: roleState(deployment.spec.llm.replicas, find(names.llm), llmPods),
    router: routerState(deployment.spec.slm.replicas, slmPods),
    readyEngines: readyEngines(slmPods),
    total: { slm: count(all, target, 'slm'), llm: count(all, target, 'llm') },
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

function deploymentsOf(caches: Caches, owner: Live<R2RDeployment>, applied: readonly Live[]): Live<Deployment>[] {
  const fresh = applied.filter((object): object is Live<Deployment> => object.kind === 'Deployment');
  const cached = caches.deployments
    .ownedBy(owner.metadata.uid)
    .filter(({ metadata }) => !fresh.some((each) => each.metadata.uid === metadata.uid));
  return [...fresh, ...cached];
}

function select(pods: readonly Live<Pod>[], revision: string, component: 'slm' | 'llm'): Live<Pod>[] {
  return pods.filter(
    ({ metadata }) => metadata.labels?.[labelKeys.revision] === revision && metadata.labels[labelKeys.component] === component,
  );
}

function count(all: readonly Live<Deployment>[], target: string, component: 'slm' | 'llm'): ReplicaCount {
  const ofRole = all.filter(({ metadata }) => metadata.labels?.[labelKeys.component] === component);
  const sum = (of: (status: NonNullable<Deployment['status']>) => number | undefined, list = ofRole): number =>
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
