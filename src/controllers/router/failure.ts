import { routerReasons } from '../../api/r2rrouter-status.ts';
import type { RouterStepFailure } from '../../api/r2rrouter-status.ts';
import type { ObservedJob } from './observation.ts';

const minuteMs = 60_000;
const longestDelayMs = 60 * minuteMs;

/** How long after a failure a step is tried again: one minute, then twice as long each time, at most an hour. */
export function retryDelayMs(attempts: number): number {
  return Math.min(longestDelayMs, minuteMs * 2 ** Math.min(Math.max(attempts - 1, 0), 10));
}

/**
 * Why a Job failed, from what tells most: its pods' last words, then the pods, then the Job itself. What a program calls retryable is; what
 * says nothing of itself may pass; a deadline, lack of memory or an image that is not there need a person.
 */
export function failureOf(job: ObservedJob, at: string): RouterStepFailure {
  const { generation } = job;
  const words = job.messages.findLast((each) => !each.ok);
  const deadline = job.failedBecause === 'DeadlineExceeded';
  if (deadline) {
    const message = 'the Job took longer than its deadlineSeconds; raise them: it goes on where it was';
    return { code: routerReasons.deadlineExceeded, message, retryable: false, at, generation };
  }
  if (words) {
    const { code, message, shard, field } = words;
    return {
      code,
      message: message.slice(0, 2048),
      // pods that were to be tried no more know best
      retryable: words.retryable && job.failedBecause !== 'PodFailurePolicy',
      ...(shard !== undefined && { shard }),
      ...(field !== undefined && { field }),
      at,
      generation,
    };
  }
  if (job.problem)
    return { code: job.problem.reason, message: job.problem.message, retryable: job.problem.reason === 'CrashLoopBackOff', at, generation };
  const message = `Job ${job.name} failed (${job.failedBecause ?? 'no reason given'}) and its pods left no message; see their logs`;
  return {
    code: job.failedBecause ?? routerReasons.backoffLimitExceeded,
    message,
    retryable: job.failedBecause !== 'PodFailurePolicy',
    at,
    generation,
  };
}

/** The pods are gone with their last words. Run again, the step finds that it is done and says so. */
export function missingResult(job: ObservedJob, at: string): RouterStepFailure {
  const message = `Job ${job.name} is complete, but its pods are gone with what they said of the result; it is asked again`;
  return { code: 'ResultMissing', message, retryable: true, at, generation: job.generation };
}

/** Pods waited for room too long: the GPU never came. */
export function startDeadlineFailure(job: ObservedJob, seconds: number, at: string): RouterStepFailure {
  const why = job.problem?.message ?? 'no node has room';
  const message = `pods waited for room longer than jobs.startDeadlineSeconds (${seconds} s): ${why}; make room, or ask for less, then change the spec or raise the deadline`;
  return { code: routerReasons.startDeadlineExceeded, message: message.slice(0, 2048), retryable: false, at, generation: job.generation };
}

/** Whose data the last words of a Job call damaged; running that step again mends it. */
export function faultyStep(job: ObservedJob): string | undefined {
  const words = job.messages.findLast((each) => !each.ok);
  return words?.faultyStep !== undefined && words.faultyStep !== job.step ? words.faultyStep : undefined;
}
