import { reasons } from '../../api/conditions.ts';
import type { ConditionInput } from '../../api/conditions.ts';
import type { ModelCacheStatus, ModelStatus } from '../../api/model-cache-status.ts';
import type { Problem } from '../pod-problem.ts';
import { bytesText } from './texts.ts';

/** What a program's code is called in conditions. */
const reasonOfCode: Readonly<Record<string, string>> = {
  FETCH_DENIED: reasons.modelAccessDenied,
  FETCH_TOKEN: reasons.modelAccessDenied,
  FETCH_NOT_FOUND: reasons.modelNotFound,
  FETCH_UNSUPPORTED: reasons.modelUnsupported,
  FETCH_DIGEST_MISMATCH: reasons.modelChecksumMismatch,
  FETCH_NO_SPACE: reasons.modelCacheFull,
  FETCH_CACHE: reasons.modelCacheUnusable,
  FETCH_UNAVAILABLE: reasons.hubUnavailable,
};

/**
 * Why a model is not there yet; undefined when it is. What a person must mend names the field where it is not the address itself.
 *
 * @param pending - why its pod does not run, or has not begun
 */
export function modelProblem(status: ModelStatus, pending: Problem | undefined): Problem | undefined {
  const { model, state, failure, progress } = status;
  if (state === 'Ready') return undefined;
  if (failure && state !== 'Pending' && state !== 'Downloading') {
    const reason = reasonOfCode[failure.code] ?? (/^[A-Z][A-Za-z]+$/.test(failure.code) ? failure.code : reasons.modelDownloadFailed);
    const more = failure.retryable ? '; it is tried again' : '';
    // Most messages begin with the address of a file of it.
    const what = failure.message.startsWith('hf://') ? '' : `${model}: `;
    return { reason, message: `${what}${failure.message}${more}` };
  }
  if (pending) return { reason: pending.reason, message: `${model} waits for its download: ${pending.message}` };
  const how = progress ?? (state === 'Downloading' ? 'it has begun' : 'its Job is being started');
  return { reason: reasons.modelDownloading, message: `${model} is being downloaded: ${how}` };
}

/** The problem that a person should hear of first: one that only a person mends, then one that may pass, then what only takes its time. */
export function firstProblem(
  problems: readonly { readonly status: ModelStatus; readonly problem: Problem | undefined }[],
): Problem | undefined {
  const order = ['Failed', 'Retrying', 'Pending', 'Downloading', 'Ready'] as const;
  return problems.toSorted((a, b) => order.indexOf(a.status.state) - order.indexOf(b.status.state))[0]?.problem;
}

export function modelsReady({ claim, models }: ModelCacheStatus, problem: Problem | undefined): ConditionInput {
  const type = 'ModelsReady';
  const ready = models.filter(({ state }) => state === 'Ready');
  if (problem)
    return {
      type,
      status: 'False',
      reason: problem.reason,
      message: `${ready.length} of ${models.length} models are there; ${problem.message}`,
    };
  const list = ready.map(({ model, commit, bytes }) => {
    const of = [...(commit === undefined ? [] : [`commit ${commit.slice(0, 8)}`]), ...(bytes === undefined ? [] : [bytesText(bytes)])];
    return of.length > 0 ? `${model} (${of.join(', ')})` : model;
  });
  return { type, status: 'True', reason: reasons.downloaded, message: `on claim ${claim}: ${list.join(', ')}` };
}
