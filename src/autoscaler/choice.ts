import { growthLimit } from './bounds.ts';
import type { Observation } from './observation.ts';
import { canCarry } from './spare.ts';
import type { Attempts } from './state.ts';
import type { ScalingPolicy, ScalingReason } from './types.ts';
import { extremes } from './wishes.ts';

export interface Choice {
  readonly to: number;
  readonly reason: ScalingReason;
  readonly message: string;
  /** Replicas that are broken go, so that others can be made in their place. */
  readonly givesUp?: true;
}

/** After a replica was taken away, the next one stays at least so long: the load of the one that went has to show first. */
const settleMs = 60_000;
/** Attempts in place of replicas that do not come are made at the deadline, then after twice that time and so on, up to this factor. */
const longestBackoff = 8;
/** A replica goes while the p95 leaves room to read the contexts of its conversations elsewhere: below this share of the target, the load of all on those that stay. */
const calmShare = 0.75;
/** A calm moment is waited for so long. */
export const calmWaitMs = 300_000;
/** Those that were given up are waited for so long to be gone before others are asked for: asked for sooner, they would just stay. */
const giveUpMs = 60_000;
/** Below this share of the capacity it is not the load that makes calls slow. */
const busyShare = 0.5;

/** The first check that has something to say decides. */
export function choose(policy: ScalingPolicy, seen: Observation, from: number, nowMs: number): Choice {
  for (const check of [outOfBounds, atZero, idle, givenUp, notComing, unknownDemand, rise, fall]) {
    const choice = check(policy, seen, from, nowMs);
    if (choice) return choice;
  }
  return { to: from, reason: seen.capacity === undefined ? 'CapacityUnknown' : 'Steady', message: steadyMessage(seen, from) };
}

type Check = (policy: ScalingPolicy, seen: Observation, from: number, nowMs: number) => Choice | undefined;

const outOfBounds: Check = (policy, { bounds, presence }, from) => {
  const { lowest, highest, limit } = bounds;
  if (from > highest)
    return {
      to: highest,
      reason: 'BoundsChanged',
      message: `${limit === 'AtMaximum' ? 'maxReplicas' : 'the GPU budget'} allows ${highest}`,
    };
  if (from >= lowest) return undefined;
  const to = Math.min(lowest, growthLimit(policy, bounds, from, presence.terminating).highest);
  return to > from
    ? { to, reason: 'BoundsChanged', message: `minReplicas is ${policy.minReplicas}` }
    : { to: from, reason: 'GpuBudgetReached', message: `minReplicas is ${policy.minReplicas}, but replicas that end still hold GPUs` };
};

const atZero: Check = (policy, { bounds, presence, sample }, from) => {
  if (from > 0) return undefined;
  if (sample.waitingRequests === 0 && (sample.demandPerSecond ?? 0) === 0)
    return { to: 0, reason: 'ScaledToZero', message: 'nobody asks; the first request brings a replica' };
  const { highest, limit } = growthLimit(policy, bounds, from, presence.terminating);
  return highest > 0
    ? { to: 1, reason: 'WokenUp', message: `${sample.waitingRequests} requests wait` }
    : { to: 0, reason: limit, message: `${sample.waitingRequests} requests wait, and ${limitName(limit)} allows no replica` };
};

const idle: Check = ({ minReplicas, idleBeforeZeroMs }, { state, sample }) =>
  minReplicas === 0 && state.idleSinceMs !== null && sample.atMs - state.idleSinceMs >= idleBeforeZeroMs
    ? { to: 0, reason: 'ScaledToZero', message: `nobody has asked for ${seconds(idleBeforeZeroMs)}` }
    : undefined;

/** Routers answer, but what they say adds up to no demand: nothing is taken away, and queues may still ask for more. */
const unknownDemand: Check = (policy, { state, reactive }, from, nowMs) =>
  reactive <= from && (state.demand.level === null || nowMs - (state.demandAtMs ?? -Infinity) > policy.staleAfterMs)
    ? { to: from, reason: 'StaleMetrics', message: 'the demand is not known yet, or no more' }
    : undefined;

/** Replicas that were given up are on their way out: as long as they stand, more would be they. */
const givenUp: Check = (_, { sample, state }, from, nowMs) => {
  const leaving = sample.replicas.filter(({ ready, draining, terminating }) => !ready && draining && terminating !== true).length;
  return leaving > 0 && nowMs - (state.gaveUpAtMs ?? -Infinity) < giveUpMs
    ? { to: from, reason: 'InsufficientCapacity', message: `${leaving} that did not become ready in time have to be gone first` }
    : undefined;
};

/** Some replicas do not come: more are asked for only with a reason to believe that these will, or now and then. */
const notComing: Check = (policy, seen, from, nowMs) => {
  const { presence, wish, bounds, state } = seen;
  const serving = from - presence.stuck;
  if (presence.stuck === 0) return undefined;
  const stuck = `${presence.stuck} of ${from} replicas did not become ready in time; ${wish} are wanted`;
  // while others have yet to come, the wrong ones would go
  const fewer = presence.pending > 0 ? 0 : Math.min(presence.stuck, policy.scaleDown.maxStep, from - bounds.lowest);
  const givenUpNow = (count: number): Choice => ({
    to: from - count,
    reason: 'InsufficientCapacity',
    message: `${stuck}; ${count} are given up`,
    givesUp: true,
  });
  if (Math.min(wish, bounds.highest) <= serving) return presence.othersCame && fewer > 0 ? givenUpNow(fewer) : undefined;
  const due = presence.othersCame || (state.attempts !== null && nowMs >= state.attempts.nextAtMs);
  const more = presence.othersCame ? policy.scaleUp.maxStep : 1;
  const { highest } = growthLimit(policy, bounds, from, presence.terminating);
  const to = due ? Math.max(from, Math.min(from + more, wish + presence.stuck, highest)) : from;
  if (to > from) return { to, reason: 'InsufficientCapacity', message: `${stuck}; ${to - from} more are tried` };
  return due && highest <= from && fewer > 0
    ? givenUpNow(presence.othersCame ? fewer : 1)
    : { to: from, reason: 'InsufficientCapacity', message: stuck };
};

const rise: Check = (policy, seen, from, nowMs) => {
  const { wish, bounds, presence, state, floor = 0, reactive } = seen;
  if (wish <= from) return undefined;
  const { highest, limit } = growthLimit(policy, bounds, from, presence.terminating);
  if (highest <= from) return { to: from, reason: limit, message: `${wish} are wanted, and ${limitName(limit)} allows ${highest}` };
  const lasting = extremes(state.wishes, policy.scaleUp.windowMs, nowMs)?.lowest ?? 0;
  if (lasting <= from)
    return { to: from, reason: 'Stabilizing', message: `${wish} are wanted, not yet for ${seconds(policy.scaleUp.windowMs)}` };
  const to = Math.min(lasting, from + policy.scaleUp.maxStep, highest);
  return floor > from
    ? { to, reason: 'DemandRose', message: `the demand needs ${floor}` }
    : { to, reason: 'SpareCapacityLow', message: `queue and KV use need ${reactive}` };
};

const fall: Check = (policy, seen, from, nowMs) => {
  const { wish, presence, state, bounds } = seen;
  const wanted = Math.max(wish, bounds.lowest);
  if (wanted >= from || seen.capacity === undefined) return undefined;
  const lasting = Math.max(extremes(state.wishes, policy.scaleDown.windowMs, nowMs)?.highest ?? from, bounds.lowest);
  if (lasting >= from)
    return { to: from, reason: 'Stabilizing', message: `${wanted} are wanted, not yet for ${seconds(policy.scaleDown.windowMs)}` };
  const absent = Math.max(0, from - presence.serving.length);
  const step = Math.min(policy.scaleDown.maxStep, from - lasting);
  // one that is to come in place of a stuck one must not be taken for it
  if (presence.stuck > 0 && presence.serving.length < lasting)
    return {
      to: from,
      reason: 'Stabilizing',
      message: `${lasting} are wanted, and ${presence.pending} have yet to come for ${presence.stuck} that did not`,
    };
  // those that do not serve go without any harm, and first
  if (absent > 0)
    return { to: from - Math.min(step, absent), reason: 'DemandFell', message: `${lasting} are enough, and ${absent} do not serve yet` };
  if (nowMs - (state.loweredAtMs ?? -Infinity) < settleMs || seen.sample.replicas.some(({ draining }) => draining))
    return { to: from, reason: 'Stabilizing', message: `${wanted} are wanted; the last one that went has to be gone first` };
  const overdue = (extremes(state.wishes, policy.scaleDown.windowMs + calmWaitMs, nowMs)?.highest ?? from) <= lasting;
  if (!overdue && !isCalm(policy, seen, from, from - step))
    return { to: from, reason: 'Stabilizing', message: `${lasting} are wanted, at a calmer moment` };
  const safe = Array.from({ length: step }, (_, less) => step - less).find((count) => redistributes(policy, seen, from - count));
  return safe === undefined
    ? { to: from, reason: 'RedistributionUnsafe', message: `${wanted} are wanted, but the others could not carry what one of ${from} does` }
    : { to: from - safe, reason: 'DemandFell', message: `the demand needs ${seen.floor ?? lasting}` };
};

/** Whether the p95 leaves room for the others to read the contexts of the conversations of those that go. */
function isCalm({ latencyTargetMs = Infinity }: ScalingPolicy, { sample }: Observation, from: number, count: number): boolean {
  return ((sample.latencyP95Ms ?? 0) * from) / Math.max(1, count) <= calmShare * latencyTargetMs;
}

/** Whether `count` replicas could do what all do now: by queue and KV use, and by latency unless they would be far from busy. */
function redistributes({ latencyTargetMs }: ScalingPolicy, { sample, presence, capacity }: Observation, count: number): boolean {
  if (!canCarry(presence.serving, count)) return false;
  const { latencyP95Ms, demandPerSecond } = sample;
  if (latencyTargetMs === undefined || latencyP95Ms === undefined || latencyP95Ms <= latencyTargetMs) return true;
  return demandPerSecond !== undefined && capacity !== undefined && demandPerSecond < busyShare * capacity * count;
}

/** The attempts after this choice: due anew after each, later every time, and soon when something has come. */
export function attemptsAfter(policy: ScalingPolicy, seen: Observation, choice: Choice, from: number, nowMs: number): Attempts | null {
  const { presence, state } = seen;
  if (presence.stuck === 0) return null;
  if (state.attempts === null || presence.came) return { count: 0, nextAtMs: nowMs + policy.pendingDeadlineMs };
  if (choice.reason !== 'InsufficientCapacity' || choice.to <= from) return state.attempts;
  const count = state.attempts.count + 1;
  return { count, nextAtMs: nowMs + policy.pendingDeadlineMs * Math.min(longestBackoff, 2 ** count) };
}

function steadyMessage({ floor, reactive, capacity }: Observation, from: number): string {
  if (capacity === undefined) return `${from} stay until the capacity of a replica is known`;
  return `${from} are right: the demand needs ${floor ?? 'an unknown number'}, queue and KV use ${reactive}`;
}

function limitName(limit: 'AtMaximum' | 'GpuBudgetReached'): string {
  return limit === 'AtMaximum' ? 'maxReplicas' : 'the GPU budget';
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
