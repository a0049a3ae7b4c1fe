/**
 * Why `status`, `top`, `events` or `support-bundle` is refused, besides the codes of `RouterCommandErrorCode`.
 * - `DEPLOYMENT_NOT_FOUND`: there is no R2RDeployment of this name
 * - `OUTPUT_FILE`: the file cannot be written, or is there already
 */
export type PluginErrorCode = 'DEPLOYMENT_NOT_FOUND' | 'OUTPUT_FILE';

/** Ends a command with 1. The message names the object, what is wrong and what to do about it. */
export class PluginError extends Error {
  override readonly name = 'PluginError';
  readonly code: PluginErrorCode;

  constructor(code: PluginErrorCode, problem: string, fix: string, options?: ErrorOptions) {
    super(`${problem}; ${fix}`, options);
    this.code = code;
  }
}
