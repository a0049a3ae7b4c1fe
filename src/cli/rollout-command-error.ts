/**
 * Why `kubectl r2r rollout` ends with 1, besides the codes of `PluginErrorCode`.
 * - `ROLLOUT_STALLED`: the roll-out cannot go on by itself; the message has the reason of the condition Stalled
 * - `ROLLOUT_PAUSED`: the present spec waits, because spec.rollout.strategy is None
 * - `ROLLOUT_TIMEOUT`: it was not rolled out within --timeout
 */
export type RolloutCommandErrorCode = 'ROLLOUT_STALLED' | 'ROLLOUT_PAUSED' | 'ROLLOUT_TIMEOUT';

/** Ends a command with 1. The message names the object, what is wrong and what to do about it. */
export class RolloutCommandError extends Error {
  override readonly name = 'RolloutCommandError';
  readonly code: RolloutCommandErrorCode;

  constructor(code: RolloutCommandErrorCode, problem: string, fix: string) {
    super(`${problem}; ${fix}`);
    this.code = code;
  }
}
