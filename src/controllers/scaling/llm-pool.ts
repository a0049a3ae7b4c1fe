import { labelKeys, revisionNames } from '../../api/names.ts';
import type { PoolsInForce } from '../../api/pools.ts';
import type { R2RDeployment } from '../../api/r2rdeployment.ts';
import type { RouterStatus } from '../../api/router-status.ts';
import type { DrainStatus } from '../../api/scaling-status.ts';
import { nextDrainStep } from '../../autoscaler/index.ts';
import type { DrainStep, ReplicaSample } from '../../autoscaler/index.ts';
import { pods as podType } from '../../kube/index.ts';
import type { EventRecorder, KubeClient, Live } from '../../kube/index.ts';
import type { Pod } from '../../kube/resources.ts';
import { podsOfInstance } from '../caches.ts';
import type { Caches } from '../caches.ts';
import { isReady } from '../pod-problem.ts';
import type { RouterClient } from '../router-client.ts';
import { deletionCost, drainedCost, drainMarks, drainTimeoutMs, reportOf, routersThatMayCall, toldRouters } from './drain.ts';
import type { ToldRouters } from './drain.ts';

export interface LlmPoolOptions {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly recorder: EventRecorder;
  readonly routers: RouterClient;
}

export interface LlmPoolWish {
  /** Replicas that the revision is to have in the end. */
  readonly wanted: number;
  /** The pool is scaled to zero by policy, and no first replica is given up: requests may wait for it. */
  readonly mayHold: boolean;
}

export interface SettledLlmPool extends Pick<PoolsInForce, 'llmReplicas' | 'drainingPodUIDs' | 'llmScaledToZero'> {
  readonly drains: readonly DrainStatus[];
  /** Replicas of the child as it is; undefined: there is none yet. */
  readonly liveReplicas: number | undefined;
  readonly told: ToldRouters;
}

/**
 * Brings the LLM pool of a revision to the wanted size, one step at a time. What it knows is in the cluster: the routers' configuration
 * says which pods drain, the pods which of them may go, the status since when.
 */
export async function settleLlmPool(
  options: LlmPoolOptions,
  deployment: Live<R2RDeployment>,
  revision: string,
  { wanted, mayHold }: LlmPoolWish,
  nowMs: number,
  signal: AbortSignal,
): Promise<SettledLlmPool> {
  const { caches } = options;
  const { namespace, name } = deployment.metadata;
  const names = revisionNames(name, revision);
  const liveReplicas = liveLlmReplicas(options, deployment, revision);
  const told = toldRouters(caches.children.get('v1/ConfigMap')?.get({ namespace, name: names.router }));
  const ofRevision = podsOfInstance(caches, deployment.metadata).filter(
    ({ metadata }) => metadata.labels?.[labelKeys.revision] === revision,
  );
  const ofRole = (role: string): Live<Pod>[] => ofRevision.filter(({ metadata }) => metadata.labels?.[labelKeys.component] === role);
  const all = ofRole('llm');
  const alive = all.filter(({ metadata }) => !metadata.deletionTimestamp);
  const marks = drainMarks(all, told, deployment.status?.scaling?.llm?.drains ?? [], nowMs);
  const specReplicas = liveReplicas ?? wanted;
  const llmScaledToZero = mayHold && (wanted === 0 || (told.llmScaledToZero && !alive.some(isReady)));
  const common = { llmScaledToZero, liveReplicas, told };
  if (specReplicas <= wanted && marks.length === 0) return { ...common, drainingPodUIDs: [], llmReplicas: wanted, drains: [] };

  const callers = routersThatMayCall(ofRole('slm'));
  const statuses = await Promise.all(callers.map(({ address }) => options.routers.status(address, signal)));
  const reports = callers.flatMap((caller, index) => {
    const status = statuses[index];
    return status ? [reportOf(caller.name, status, told)] : [];
  });
  const timeoutMs = drainTimeoutMs(deployment.spec.router.llmTimeoutSeconds);
  const step = nextDrainStep(
    {
      wanted,
      specReplicas,
      replicas: all.map((pod) => replicaSample(pod, told, statuses)),
      marks,
      routers: callers.map((caller) => caller.name),
      reports,
      timeoutMs,
    },
    nowMs,
  );
  await annotate(options, alive, step, signal);
  const drainingPodUIDs = [...marks.map(({ id }) => id), ...step.mark].filter((uid) => !step.unmark.includes(uid));
  const drains = all
    .filter(({ metadata }) => drainingPodUIDs.includes(metadata.uid))
    .map(({ metadata }): DrainStatus => {
      const sinceMs = marks.find(({ id }) => id === metadata.uid)?.sinceMs ?? nowMs;
      return { pod: metadata.name, uid: metadata.uid, since: new Date(sinceMs).toISOString().replace(/\.\d+Z$/, 'Z') };
    });
  const late = marks.filter(({ sinceMs }) => nowMs - sinceMs >= timeoutMs).map(({ id }) => id);
  note(options.recorder, deployment, alive, step, late);
  return { ...common, drainingPodUIDs, llmReplicas: Math.max(wanted, step.replicas), drains };
}

export function liveLlmReplicas(
  { caches }: Pick<LlmPoolOptions, 'caches'>,
  { metadata: { namespace, name } }: Live<R2RDeployment>,
  revision: string,
): number | undefined {
  return caches.deployments.get({ namespace, name: revisionNames(name, revision).llm })?.spec?.replicas;
}

function replicaSample(pod: Live<Pod>, told: ToldRouters, statuses: readonly (RouterStatus | undefined)[]): ReplicaSample {
  const { uid, creationTimestamp = '', deletionTimestamp } = pod.metadata;
  const endpoints = statuses.flatMap((status) => status?.llmEndpoints.filter(({ podUID }) => podUID === uid) ?? []);
  return {
    id: uid,
    ready: isReady(pod),
    terminating: deletionTimestamp !== undefined,
    draining: told.drainingPodUIDs.includes(uid),
    createdAtMs: Date.parse(creationTimestamp) || 0,
    inFlight: endpoints.reduce((total, { inFlight }) => total + inFlight, 0),
    runningRequests: undefined,
    queuedRequests: undefined,
    kvUsage: undefined,
  };
}

/** Before `replicas` falls: the Deployment's controller then deletes these, and nothing else. */
async function annotate({ client }: LlmPoolOptions, alive: readonly Live<Pod>[], step: DrainStep, signal: AbortSignal): Promise<void> {
  const set = async (uid: string, value: string | null): Promise<void> => {
    const pod = alive.find(({ metadata }) => metadata.uid === uid);
    if (!pod || (pod.metadata.annotations?.[deletionCost] ?? null) === value) return;
    const { namespace, name } = pod.metadata;
    // the uid makes it a conflict where a namesake has come in the meantime
    await client.patch(podType, { namespace, name }, { metadata: { uid, annotations: { [deletionCost]: value } } }, { signal });
  };
  await Promise.all([...step.setDeletionCost.map((uid) => set(uid, drainedCost)), ...step.unmark.map((uid) => set(uid, null))]);
}

/** @param late - drains that went on without some router */
function note(
  recorder: EventRecorder,
  owner: Live<R2RDeployment>,
  alive: readonly Live<Pod>[],
  step: DrainStep,
  late: readonly string[],
): void {
  const nameOf = (uid: string): string => alive.find(({ metadata }) => metadata.uid === uid)?.metadata.name ?? uid;
  const record = (reason: string, uids: readonly string[], what: string, type: 'Normal' | 'Warning' = 'Normal'): void => {
    for (const uid of uids) recorder.record(owner, { type, reason, action: 'Scale', note: `pod ${nameOf(uid)} ${what}` });
  };
  const isLate = (uid: string): boolean => late.includes(uid);
  record('DrainStarted', step.mark, 'gets no new calls, so that it can go');
  record('DrainCancelled', step.unmark, 'is wanted after all');
  record(
    'Drained',
    step.setDeletionCost.filter((uid) => !isLate(uid)),
    'has no call under way any more, and goes',
  );
  record('DrainTimedOut', step.setDeletionCost.filter(isLate), 'goes although a router has not said that it is done with it', 'Warning');
}
