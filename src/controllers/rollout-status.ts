/** What a roll-out, a pause of it or a suspension does to the conditions. */
import { reasons } from '../api/conditions.ts';
import type { ConditionInput } from '../api/conditions.ts';
import type { RolloutSpec } from '../api/rollout-spec.ts';
import type { Problem } from './pod-problem.ts';
import type { Described } from './rollout-history.ts';
import type { Observation } from './status.ts';

/** What `spec.rollout.strategy: None` keeps from being rolled out. */
export interface Pause {
  /** Of the present spec: another one than serves, or the same with other pods. */
  readonly revision: string;
}

export interface RolloutView extends RolloutSpec {
  readonly suspended: boolean;
  readonly paused: Pause | undefined;
  /** The present spec. */
  readonly described: Described;
  /** Pods of the target, ending ones included. */
  readonly pods: number;
  /** Pods of other revisions, ending ones included. */
  readonly oldPods: number;
  /** Since when all pods of the target are ready; undefined while one is not. */
  readonly readySince: Date | undefined;
}

/** What only takes its time. */
const startingReasons = new Set<string>([reasons.podsNotReady, reasons.bundleLoading, reasons.modelDownloading]);

/** The part that holds the target up, the deepest first; one that is only starting when no other is. */
export function heldUpBy(parts: readonly ConditionInput[]): ConditionInput | undefined {
  const open = parts.filter(({ status }) => status === 'False');
  return open.find(({ reason }) => !startingReasons.has(reason)) ?? open[0];
}

/** Nothing answers, because the old revision goes before the new one comes. */
export function gap({ rollout: { strategy, pods, oldPods }, target }: Observation): Problem | undefined {
  if (strategy !== 'InPlace' || oldPods === 0 || pods > 0) return undefined;
  const message = `no request is answered: ${count(oldPods)} of the old revision finish their requests and go, then revision ${target} is made (spec.rollout.strategy is InPlace)`;
  return { reason: reasons.recreateGap, message };
}

/** Why the condition Ready is True beside Serving: as is wished, something is missing. */
export function wish({ rollout: { paused }, serving }: Observation): Problem | undefined {
  if (!paused) return undefined;
  const what = paused.revision === serving ? `a change of the pods of revision ${serving}` : `revision ${paused.revision}`;
  const message = `${what} waits, because spec.rollout.strategy is None; revision ${serving} stays`;
  return { reason: reasons.rolloutPaused, message };
}

/** Both conditions of a deployment that is to have no pods. */
export function suspension({ rollout: { suspended, pods, oldPods } }: Observation): Problem | undefined {
  if (!suspended) return undefined;
  const left = pods + oldPods;
  const message = `suspended by spec.suspend: no request is answered${left > 0 ? `; ${count(left)} still finish their requests` : ''}`;
  return { reason: reasons.suspended, message };
}

/** Reason of a Reconciling that is False because what is wished for has been reached. */
export function reachedReason({ rollout: { suspended, paused } }: Observation): string {
  if (suspended) return reasons.suspended;
  return paused ? reasons.rolloutPaused : reasons.upToDate;
}

/**
 * Why a roll-out does not go on by itself: pods were not there in time, or do not answer the probe. Waiting for room is no such reason: it
 * may come at any moment.
 */
export function lateness(seen: Observation, parts: readonly ConditionInput[]): Problem | undefined {
  const { slm, llm, rollout, now, probeProblem } = seen;
  const { progressDeadlineSeconds: deadline } = rollout;
  if (rollout.suspended) return undefined;
  const isOver = (since: Date | undefined): boolean => since !== undefined && now.getTime() - since.getTime() > deadline * 1000;
  const within = `not there within ${deadline} s (spec.rollout.progressDeadlineSeconds)`;
  if (probeProblem !== undefined && isOver(rollout.readySince))
    return { reason: reasons.probeFailed, message: `${probeProblem}; ${within}` };
  const late = [slm, llm].some((role) => !role.complete && (role.deadlineExceeded || isOver(role.waitingSince)));
  const held = heldUpBy(parts);
  if (!late || held?.reason === reasons.insufficientCapacity) return undefined;
  if (!held) return { reason: reasons.progressDeadlineExceeded, message: `the pods were ${within}` };
  const reason = startingReasons.has(held.reason) ? reasons.progressDeadlineExceeded : held.reason;
  return { reason, message: `${held.type}: ${held.message}; ${within}` };
}

/** What to do where a roll-out finds no room for a second revision. */
export function roomAdvice({ rollout: { strategy }, serving, target }: Observation, reason: string): string {
  if (reason !== reasons.insufficientCapacity || strategy !== 'Surge' || serving === target) return '';
  return '; a Surge roll-out needs room for both revisions: make room, or set spec.rollout.strategy to InPlace';
}

function count(pods: number): string {
  return pods === 1 ? '1 pod' : `${pods} pods`;
}
