import { PipelineError, type PipelineErrorCode, type PipelineErrorOptions } from '../errors.ts';
import { errorCode } from '../workspace/file-system.ts';

/** Codes of errors that pass when there is room again. */
const fullDisk = /_NO_SPACE$|^ENOSPC$|^EDQUOT$/;

/**
 * Runs what says of itself what is wrong: fetching, importing, storing. Its error becomes the step's, which names the field; one that is of the
 * pipeline stays as it is, and so does a defect.
 */
export async function failingAs<T>(
  code: PipelineErrorCode,
  options: Pick<PipelineErrorOptions, 'field' | 'step' | 'file'>,
  action: () => Promise<T>,
): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    const name = errorCode(cause);
    if (!(cause instanceof Error) || name === undefined || cause instanceof PipelineError) throw cause;
    // such an error ends with the way out
    const at = cause.message.lastIndexOf('; ');
    const problem = at < 0 ? cause.message : cause.message.slice(0, at);
    const fix = at < 0 ? "see the pod's log" : cause.message.slice(at + 2);
    const retryable = fullDisk.test(name) || ('retryable' in cause && cause.retryable === true);
    const where = options.field === undefined ? '' : `${options.field}: `;
    throw new PipelineError(code, `${where}${problem} (${name})`, fix, { ...options, retryable, cause });
  }
}
