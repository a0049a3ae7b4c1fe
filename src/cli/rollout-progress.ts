import { findCondition, isTrue, reasons } from '../api/conditions.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { RolloutCommandError } from './rollout-command-error.ts';

/** How far a roll-out is: nothing is left to do, or what it waits for. */
export interface RolloutProgress {
  readonly done: boolean;
  /** A sentence in kubectl's words. */
  readonly line: string;
}

/**
 * Read from the conditions, as kstatus does.
 *
 * @throws RolloutCommandError `ROLLOUT_STALLED` | `ROLLOUT_PAUSED` for a roll-out that does not end by itself
 */
export function rolloutProgress({ metadata: { name, generation = 0 }, status }: R2RDeployment): RolloutProgress {
  const subject = `r2rdeployment "${name}"`;
  if ((status?.observedGeneration ?? 0) < generation)
    return { done: false, line: `Waiting for ${subject} spec update to be observed by the operator...` };
  const { conditions } = status ?? {};
  const stalled = findCondition(conditions, 'Stalled');
  if (stalled?.status === 'True') {
    const fix = 'correct the spec: a new one goes on at once';
    throw new RolloutCommandError('ROLLOUT_STALLED', `${subject} is stalled: ${stalled.reason}: ${stalled.message}`, fix);
  }
  const reconciling = findCondition(conditions, 'Reconciling');
  if (!reconciling || reconciling.status !== 'False')
    return { done: false, line: `Waiting for ${subject} rollout to finish: ${reconciling?.message ?? 'nothing is known yet'}` };
  if (reconciling.reason === reasons.rolloutPaused)
    throw new RolloutCommandError('ROLLOUT_PAUSED', `${subject} is not rolled out: ${reconciling.message}`, 'set it to Surge or InPlace');
  if (reconciling.reason === reasons.suspended) return { done: true, line: `${subject} is suspended by its spec` };
  const note = isTrue(conditions, 'Ready')
    ? ''
    : `, but not ready: ${findCondition(conditions, 'Ready')?.message ?? 'nothing is known yet'}`;
  return { done: true, line: `${subject} successfully rolled out${note}` };
}
