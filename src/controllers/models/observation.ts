import { modelAnnotationKeys, modelJobContainer, modelLabelKeys } from '../../api/model-job-names.ts';
import type { Live } from '../../kube/index.ts';
import type { Job, Pod } from '../../kube/resources.ts';
import { podProblem } from '../pod-problem.ts';
import type { Problem } from '../pod-problem.ts';
import type { StepProgress } from '../router/progress-client.ts';
import { readTermination } from '../router/termination.ts';
import type { TerminationMessage } from '../router/termination.ts';

/** A download's Job and what its pods tell. */
export interface ObservedDownload {
  readonly name: string;
  readonly uid: string;
  /** Of the model. */
  readonly hash: string;
  /** Digest of what its pods were told. */
  readonly inputs: string;
  /** metadata.generation of the R2RDeployment that it was made for. */
  readonly generation: number;
  readonly deleting: boolean;
  readonly phase: 'Active' | 'Complete' | 'Failed';
  /** In milliseconds since 1970. */
  readonly completedAtMs?: number;
  /** Reason of the Job's condition Failed. */
  readonly failedBecause?: string;
  readonly running: boolean;
  /** Last words of its pods, the oldest first. */
  readonly messages: readonly TerminationMessage[];
  /** Why a pod does not run, or how it ended. */
  readonly problem?: Problem;
  /** In bytes, as scraped from its pod. */
  readonly progress?: StepProgress;
}

/** What the operator reads of a Job and its pods; undefined for one that brings no model. */
export function observeDownload(job: Live<Job>, pods: readonly Live<Pod>[], progress?: StepProgress): ObservedDownload | undefined {
  const { labels = {}, annotations = {}, name, uid, deletionTimestamp } = job.metadata;
  const hash = labels[modelLabelKeys.model];
  if (hash === undefined) return undefined;
  const condition = (type: string) => job.status?.conditions?.find((each) => each.type === type && each.status === 'True');
  const failed = condition('Failed');
  // While the Job tries again, pods that failed before it are history.
  const telling = failed ? pods : pods.filter(({ status }) => status?.phase === 'Pending' || status?.phase === 'Running');
  const problem = podProblem(telling, [modelJobContainer]);
  return {
    name,
    uid,
    hash,
    inputs: annotations[modelAnnotationKeys.inputs] ?? '',
    generation: Number(annotations[modelAnnotationKeys.generation] ?? 0),
    deleting: deletionTimestamp !== undefined,
    phase: failed ? 'Failed' : condition('Complete') ? 'Complete' : 'Active',
    ...(failed && { failedBecause: failed.reason ?? 'Failed' }),
    ...(job.status?.completionTime !== undefined && { completedAtMs: Date.parse(job.status.completionTime) }),
    running: pods.some((pod) => pod.status?.phase === 'Running'),
    messages: lastWords(pods),
    ...(problem && { problem }),
    ...(progress && { progress }),
  };
}

function lastWords(pods: readonly Live<Pod>[]): readonly TerminationMessage[] {
  return pods
    .flatMap((pod) => pod.status?.containerStatuses?.filter(({ name }) => name === modelJobContainer) ?? [])
    .flatMap(({ state }) => (state?.terminated ? [state.terminated] : []))
    .sort((a, b) => (Date.parse(a.finishedAt ?? '') || 0) - (Date.parse(b.finishedAt ?? '') || 0))
    .flatMap(({ message }) => readTermination(message) ?? []);
}
