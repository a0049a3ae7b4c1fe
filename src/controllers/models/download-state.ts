import type { CachedModel } from '../../api/cached-models.ts';
import type { ModelFailure, ModelStatus } from '../../api/model-cache-status.ts';
import { isoTime } from '../router/step-state.ts';
import type { ObservedDownload } from './observation.ts';
import { bytesText, durationText } from './texts.ts';

/** What is to be done about one model, and what it is now. */
export interface DownloadDecision {
  readonly status: ModelStatus;
  readonly create: boolean;
  readonly remove?: ObservedDownload;
  /** When to look again, if nothing changes before. */
  readonly atMs?: number;
}

export interface DownloadInputs {
  readonly model: CachedModel;
  /** The record of this very model at this place, if there is one. */
  readonly before: ModelStatus | undefined;
  readonly job: ObservedDownload | undefined;
  /** Digest of what a Job's pods would be told now. */
  readonly wanted: string;
  /** Of the claim that was made; undefined for one that is the user's. */
  readonly claimUID: string | undefined;
  readonly generation: number;
  readonly now: Date;
}

/** A Job may be seen complete before its pods' last words are. */
const wordsDelayMs = 15_000;
const minuteMs = 60_000;
const longestDelayMs = 10 * minuteMs;

/** How long after a failure another Job is made: one minute, then twice as long each time, at most ten. Access may be granted on the hub's page at any time. */
export function retryDelayMs(attempts: number): number {
  return Math.min(longestDelayMs, minuteMs * 2 ** Math.min(Math.max(attempts - 1, 0), 10));
}

/** Decides about one model. Pure. */
export function decideDownload(inputs: DownloadInputs): DownloadDecision {
  const { model, job, wanted, claimUID } = inputs;
  const before: ModelStatus = inputs.before ?? { model: model.model, state: 'Pending', address: model.address };
  if (before.state === 'Ready' && before.claimUID === claimUID) return { status: before, create: false };
  if (job?.deleting) return { status: idle(before), create: false };
  // The claim was made again, and is empty: what an earlier Job said does not count.
  if (before.state === 'Ready' && job) return { status: forgiven(before), create: false, remove: job };
  // Another token, node or claim: what is under way cannot be told, and goes on where it was.
  if (job && job.inputs !== wanted) return { status: forgiven(before), create: false, remove: job };
  if (job?.phase === 'Complete') return completed(inputs, before, job);
  if (job?.phase === 'Failed') return ended(inputs, before, failureOf(job, before.failure?.at ?? isoTime(inputs.now)), job);
  if (job) return active(before, job, inputs.now);
  return before.failure ? ended(inputs, before, before.failure, undefined) : created(inputs, before);
}

function completed(inputs: DownloadInputs, before: ModelStatus, job: ObservedDownload): DownloadDecision {
  const { now, claimUID } = inputs;
  const words = job.messages.findLast((each) => each.ok && each.sealed);
  if (words?.ok !== true) {
    const awaitedMs = job.completedAtMs === undefined ? undefined : job.completedAtMs + wordsDelayMs;
    if (awaitedMs !== undefined && now.getTime() < awaitedMs) return { status: before, create: false, atMs: awaitedMs };
    // Run again, it finds the model and says so.
    const message = `Job ${job.name} is complete, but its pod is gone with what it said; it is asked again`;
    const missing = failure('ResultMissing', message, true, job, now);
    return { status: { ...idle(before), state: 'Retrying', failure: missing }, create: false, remove: job };
  }
  const { model, address, attempts, startedAt } = before;
  const bytes = words.counts?.['bytes'];
  return {
    status: {
      model,
      state: 'Ready',
      address,
      ...(words.digest !== undefined && { commit: words.digest }),
      ...(bytes !== undefined && { bytes, totalBytes: bytes }),
      ...(claimUID !== undefined && { claimUID }),
      ...(attempts !== undefined && { attempts }),
      ...(startedAt !== undefined && { startedAt }),
      finishedAt: isoTime(now),
    },
    create: false,
  };
}

function active(before: ModelStatus, job: ObservedDownload, now: Date): DownloadDecision {
  const { failure: failedBefore, ...rest } = idle(before);
  if (job.progress) return { status: { ...rest, state: 'Downloading', ...shown(job.progress) }, create: false };
  // Between two tries of the Job, its last one is what is known; before the first word of a try, the Job before it is.
  const words = job.messages.findLast((each) => !each.ok);
  const known = words?.ok === false ? failure(words.code, words.message, words.retryable, job, now, before.failure?.at) : failedBefore;
  if (known && !job.problem)
    return { status: { ...before, state: known.retryable ? 'Retrying' : 'Failed', failure: known }, create: false };
  return { status: { ...rest, state: job.running ? 'Downloading' : 'Pending', ...sizes(before) }, create: false };
}

/** A failure passes with time, or with a change of the spec. */
function ended(inputs: DownloadInputs, before: ModelStatus, why: ModelFailure, job: ObservedDownload | undefined): DownloadDecision {
  const dueMs = Date.parse(why.at) + retryDelayMs(before.attempts ?? 1);
  const due = inputs.generation !== why.generation || inputs.now.getTime() >= dueMs;
  const status: ModelStatus = { ...idle(before), ...sizes(before), state: why.retryable ? 'Retrying' : 'Failed', failure: why };
  if (!due) return { status, create: false, atMs: dueMs };
  // Its name is free once it is gone.
  return job ? { status, create: false, remove: job } : created(inputs, status);
}

/** What failed before is told until the new Job has something to tell. */
function created({ now, generation }: DownloadInputs, before: ModelStatus): DownloadDecision {
  const status: ModelStatus = {
    ...idle(before),
    ...sizes(before),
    ...(before.failure && { failure: { ...before.failure, at: isoTime(now), generation } }),
    attempts: (before.attempts ?? 0) + 1,
    startedAt: before.startedAt ?? isoTime(now),
  };
  return { status, create: true };
}

/** Why a Job failed: what its pods said last, else the pods, else the Job itself. */
function failureOf(job: ObservedDownload, at: string): ModelFailure {
  const { generation } = job;
  const words = job.messages.findLast((each) => !each.ok);
  if (words?.ok === false) {
    const { code, message, retryable } = words;
    return { code, message: message.slice(0, 2048), retryable: retryable && job.failedBecause !== 'PodFailurePolicy', at, generation };
  }
  if (job.problem) return { code: job.problem.reason, message: job.problem.message, retryable: true, at, generation };
  const message = `Job ${job.name} failed (${job.failedBecause ?? 'no reason given'}) and its pods left no message; see their logs`;
  return { code: job.failedBecause ?? 'Failed', message, retryable: true, at, generation };
}

function failure(
  code: string,
  message: string,
  retryable: boolean,
  { generation }: ObservedDownload,
  now: Date,
  at?: string,
): ModelFailure {
  return { code, message: message.slice(0, 2048), retryable, at: at ?? isoTime(now), generation };
}

/** What stays true when nothing is under way. */
function idle({ model, address, state, attempts, startedAt, failure: failed }: ModelStatus): ModelStatus {
  return {
    model,
    state: state === 'Ready' || state === 'Downloading' ? 'Pending' : state,
    address,
    ...(attempts !== undefined && { attempts }),
    ...(startedAt !== undefined && { startedAt }),
    ...(failed && { failure: failed }),
  };
}

function forgiven(before: ModelStatus): ModelStatus {
  const { failure: _, attempts: __, ...rest } = idle(before);
  return { ...rest, state: 'Pending' };
}

/** How far it was: what has arrived stays. */
function sizes({ bytes, totalBytes }: ModelStatus): Pick<ModelStatus, 'bytes' | 'totalBytes'> {
  return { ...(bytes !== undefined && { bytes }), ...(totalBytes !== undefined && { totalBytes }) };
}

function shown({ done, total, perSecond, etaSeconds }: NonNullable<ObservedDownload['progress']>) {
  const share = total > 0 ? Math.floor((100 * done) / total) : 0;
  const speed = perSecond === undefined ? '' : `, ${bytesText(perSecond)}/s`;
  const left = etaSeconds === undefined || done >= total ? '' : `, ${durationText(etaSeconds)} left`;
  return {
    bytes: done,
    totalBytes: total,
    ...(perSecond !== undefined && { bytesPerSecond: perSecond }),
    ...(etaSeconds !== undefined && { etaSeconds }),
    progress: `${share}% of ${bytesText(total)}${speed}${left}`,
  };
}
