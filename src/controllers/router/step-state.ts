import { routerReasons } from '../../api/r2rrouter-status.ts';
import type { RouterStepStatus } from '../../api/r2rrouter-status.ts';
import type { JobsSpec } from '../../api/r2rrouter-jobs.ts';
import { failureOf, missingResult, retryDelayMs, startDeadlineFailure } from './failure.ts';
import type { ObservedJob } from './observation.ts';
import type { BundleResult } from './termination.ts';

/** What is to be done about one step, and what it is now. */
export interface StepDecision {
  readonly status: RouterStepStatus;
  readonly create: boolean;
  readonly remove?: ObservedJob;
  /** When to look again, if nothing changes before. */
  readonly atMs?: number;
  readonly bundle?: BundleResult;
}

export interface StepInputs {
  readonly name: RouterStepStatus['name'];
  readonly hash: string;
  /** The record of this very hash, if there is one. */
  readonly before: RouterStepStatus | undefined;
  readonly job: ObservedJob | undefined;
  readonly jobs: JobsSpec;
  readonly generation: number;
  readonly now: Date;
}

/** A Job may be seen complete before its pods' last words are. */
const wordsDelayMs = 15_000;

/** What another step says of one that was done: its files are damaged, or gone. */
const damageCodes = new Set(['PIPELINE_PART_CORRUPT', 'PIPELINE_INPUT_MISSING']);

/** Decides about a step whose inputs are there. Pure. */
export function decideStep(inputs: StepInputs): StepDecision {
  const { name, hash, job } = inputs;
  const before: RouterStepStatus = inputs.before ?? { name, hash, state: 'Pending' };
  if (before.digest !== undefined) return { status: { ...before, state: 'Done' }, create: false };
  if (job?.deleting) return { status: { ...withoutProgress(before), state: pendingState(before) }, create: false };
  if (job?.phase === 'Complete') return completed(inputs, before, job);
  if (inputs.jobs.suspend) {
    const status = { ...withoutProgress(before), state: pendingState(before) };
    return { status, create: false, ...(job?.phase === 'Active' && { remove: job }) };
  }
  if (job?.phase === 'Failed') return ended(inputs, before, failureOf(job, before.failure?.at ?? isoTime(inputs.now)), job);
  if (job) return active(inputs, before, job);
  return before.failure ? ended(inputs, before, before.failure, undefined) : created(inputs, before);
}

function completed(inputs: StepInputs, before: RouterStepStatus, job: ObservedJob): StepDecision {
  const { now } = inputs;
  const words = job.messages.findLast((each) => each.ok && each.sealed);
  const sealed = words?.ok ? words : undefined;
  const bundle = sealed?.bundle;
  const digest = bundle?.digest ?? sealed?.digest;
  const awaitedMs = job.completedAtMs === undefined ? undefined : job.completedAtMs + wordsDelayMs;
  if (digest === undefined && awaitedMs !== undefined && now.getTime() < awaitedMs) {
    return { status: { ...withoutProgress(before), state: 'Running' }, create: false, atMs: awaitedMs };
  }
  if (digest === undefined) {
    const failure = missingResult(job, before.failure?.at ?? isoTime(now));
    return ended(inputs, before, failure, job);
  }
  const { failure: _, ...rest } = withoutProgress(before);
  return {
    status: {
      ...rest,
      state: 'Done',
      digest,
      ...(sealed?.rows && { rows: sealed.rows }),
      ...(sealed?.counts && { counts: sealed.counts }),
      shards: job.shards,
      shardsDone: job.shards,
      finishedAt: isoTime(now),
    },
    create: false,
    ...(bundle && { bundle }),
  };
}

function active({ jobs, now }: StepInputs, before: RouterStepStatus, job: ObservedJob): StepDecision {
  const { startDeadlineSeconds } = jobs;
  const deadlineMs =
    startDeadlineSeconds === undefined || job.waitingSinceMs === undefined ? undefined : job.waitingSinceMs + startDeadlineSeconds * 1000;
  if (startDeadlineSeconds !== undefined && deadlineMs !== undefined && now.getTime() >= deadlineMs) {
    const at = before.state === 'Failed' ? before.failure?.at : undefined;
    const failure = startDeadlineFailure(job, startDeadlineSeconds, at ?? isoTime(now));
    return { status: { ...withoutProgress(before), state: 'Failed', failure }, create: false, remove: job };
  }
  const { failure: _, ...rest } = withoutProgress(before);
  return {
    status: {
      ...rest,
      state: job.running || job.shardsDone > 0 ? 'Running' : 'Pending',
      shards: job.shards,
      shardsDone: job.shardsDone,
      ...(job.progress && { progress: job.progress }),
    },
    create: false,
    ...(deadlineMs !== undefined && { atMs: deadlineMs }),
  };
}

/** A failure is final until the spec changes, or passes with time. */
function ended(
  inputs: StepInputs,
  before: RouterStepStatus,
  failure: NonNullable<RouterStepStatus['failure']>,
  job: ObservedJob | undefined,
): StepDecision {
  const changed = inputs.generation !== failure.generation;
  const dueMs = Date.parse(failure.at) + retryDelayMs(before.attempts ?? 1);
  // Damage is mended at once; where it comes back, something is wrong with the volume.
  const mended = damageCodes.has(failure.code) && (before.attempts ?? 1) <= 1;
  const due = changed || (failure.retryable && (mended || inputs.now.getTime() >= dueMs));
  const status: RouterStepStatus = { ...withoutProgress(before), state: failure.retryable || changed ? 'Retrying' : 'Failed', failure };
  if (!due) return { status, create: false, ...(failure.retryable && { atMs: dueMs }) };
  // Its name is free once it is gone.
  return job ? { status, create: false, remove: job } : created(inputs, status);
}

function created({ now }: StepInputs, before: RouterStepStatus): StepDecision {
  const { failure: _, ...rest } = withoutProgress(before);
  return {
    status: { ...rest, state: 'Pending', attempts: (before.attempts ?? 0) + 1, startedAt: before.startedAt ?? isoTime(now) },
    create: true,
  };
}

function pendingState({ state }: RouterStepStatus): RouterStepStatus['state'] {
  return state === 'Failed' || state === 'Retrying' ? state : 'Pending';
}

function withoutProgress({ progress: _, ...status }: RouterStepStatus): RouterStepStatus {
  return status;
}

/** As the API server keeps times: whole seconds. */
export function isoTime(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z');
}

/** Reason of a step that is not done, for conditions. */
export function reasonOf(
  { state, failure }: RouterStepStatus,
  job: ObservedJob | undefined,
): { readonly reason: string; readonly message: string } {
  if (failure && (state === 'Failed' || state === 'Retrying')) return { reason: camelCase(failure.code), message: failure.message };
  const words = job?.running ? undefined : job?.messages.findLast((each) => !each.ok);
  if (words) return { reason: camelCase(words.code), message: words.message };
  if (job?.suspended) return { reason: routerReasons.queued, message: 'Kueue has not admitted the Job yet' };
  if (job?.problem) return job.problem;
  return { reason: routerReasons.running, message: state === 'Running' ? 'the Job runs' : 'the Job is being started' };
}

/** `PIPELINE_COLUMN` as `PipelineColumn`; what is CamelCase already stays. */
function camelCase(code: string): string {
  if (!/^[A-Z0-9_]+$/.test(code)) return code;
  return code
    .split('_')
    .map((word) => word.slice(0, 1) + word.slice(1).toLowerCase())
    .join('');
}
