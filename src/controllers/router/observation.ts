import { jobContainers, routerAnnotationKeys, routerLabelKeys } from '../../api/r2rrouter-names.ts';
import { jobNames } from '../../api/r2rrouter-jobs.ts';
import type { JobName } from '../../api/r2rrouter-jobs.ts';
import type { RouterStepStatus } from '../../api/r2rrouter-status.ts';
import type { Live } from '../../kube/index.ts';
import type { Job, Pod } from '../../kube/resources.ts';
import { podProblem } from '../pod-problem.ts';
import type { Problem } from '../pod-problem.ts';
import { readTermination } from './termination.ts';
import type { TerminationMessage } from './termination.ts';

/** A Job of a router and what its pods tell. */
export interface ObservedJob {
  readonly name: string;
  readonly uid: string;
  readonly step: JobName;
  readonly hash: string;
  /** metadata.generation of the R2RRouter that it was made for. */
  readonly generation: number;
  readonly deleting: boolean;
  /** By Kueue, which has no room for it yet. */
  readonly suspended: boolean;
  readonly phase: 'Active' | 'Complete' | 'Failed';
  /** When it became complete, in milliseconds since 1970. */
  readonly completedAtMs?: number;
  /** Reason of the Job's condition Failed. */
  readonly failedBecause?: string;
  readonly shards: number;
  readonly shardsDone: number;
  readonly running: boolean;
  /** Last words of its pods, the oldest first. */
  readonly messages: readonly TerminationMessage[];
  /** Why a pod does not run, or how it ended. */
  readonly problem?: Problem;
  /** Since when the first of its pods waits for room, in milliseconds since 1970. */
  readonly waitingSinceMs?: number;
  /** As scraped from its pods, shards added up. */
  readonly progress?: NonNullable<RouterStepStatus['progress']>;
}

/** What the operator reads of a Job and its pods; undefined for a Job that no router made. */
export function observeJob(
  job: Live<Job>,
  pods: readonly Live<Pod>[],
  progress?: NonNullable<RouterStepStatus['progress']>,
): ObservedJob | undefined {
  const { labels = {}, annotations = {}, name, uid, deletionTimestamp } = job.metadata;
  const step = jobNames.find((each) => each === labels[routerLabelKeys.step]);
  const hash = labels[routerLabelKeys.hash];
  if (!step || hash === undefined) return undefined;
  const condition = (type: string) => job.status?.conditions?.find((each) => each.type === type && each.status === 'True');
  const failed = condition('Failed');
  // While the Job tries again, pods that failed before it are history.
  const telling = failed ? pods : pods.filter(({ status }) => status?.phase === 'Pending' || status?.phase === 'Running');
  const problem = podProblem(telling, Object.values(jobContainers));
  const waiting = pods.flatMap((pod) => waitingSince(pod) ?? []);
  return {
    name,
    uid,
    step,
    hash,
    generation: Number(annotations[routerAnnotationKeys.generation] ?? 0),
    deleting: deletionTimestamp !== undefined,
    suspended: job.spec?.suspend === true,
    phase: failed ? 'Failed' : condition('Complete') ? 'Complete' : 'Active',
    ...(failed && { failedBecause: failed.reason ?? 'Failed' }),
    ...(job.status?.completionTime !== undefined && { completedAtMs: Date.parse(job.status.completionTime) }),
    shards: job.spec?.completions ?? 1,
    shardsDone: job.status?.succeeded ?? 0,
    running: pods.some((pod) => pod.status?.phase === 'Running'),
    messages: endings(pods).flatMap((ended) => readTermination(ended.message) ?? []),
    ...(problem && { problem }),
    ...(waiting.length > 0 && { waitingSinceMs: Math.min(...waiting) }),
    ...(progress && { progress }),
  };
}

interface Ending {
  readonly message: string | undefined;
  readonly atMs: number;
}

/** How the step's container ended in each pod, the oldest first. */
function endings(pods: readonly Live<Pod>[]): readonly Ending[] {
  return pods
    .flatMap((pod) => pod.status?.containerStatuses?.filter(({ name }) => name === jobContainers.step) ?? [])
    .flatMap(({ state }) =>
      state?.terminated ? [{ message: state.terminated.message, atMs: Date.parse(state.terminated.finishedAt ?? '') || 0 }] : [],
    )
    .sort((a, b) => a.atMs - b.atMs);
}

function waitingSince(pod: Live<Pod>): number | undefined {
  if (pod.metadata.deletionTimestamp !== undefined || pod.status?.phase !== 'Pending') return undefined;
  const scheduled = pod.status.conditions?.find(({ type }) => type === 'PodScheduled');
  if (scheduled?.status !== 'False') return undefined;
  const since = Date.parse(scheduled.lastTransitionTime ?? pod.metadata.creationTimestamp ?? '');
  return Number.isNaN(since) ? undefined : since;
}
