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
}

/** After a replica was taken away, the next one stays at least so long: the load of the one that went has to show first. */
const settleMs = 60_000;
/** Attempts in place of replicas that do not come are made at the deadline, then after twice that time and so on, up to this factor. */
const longestBackoff = 8;
/** Below this share of the capacity it is not the load that makes calls slow. */
const busyShare = 0.5;

/** The first check that has something to say decides. */
export function choose(policy: ScalingPolicy, seen: Observation, from: number, nowMs: number): Choice {
  for (const check of [outOfBounds, atZero, idle, notComing, unknownDemand, rise, fall]) {
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

/** Some replicas do not come: more are asked for only with a reason to believe that these will, or now and then. */
const notComing: Check = (policy, seen, from, nowMs) => {
  const { presence, wish, bounds, state } = seen;
  const serving = from - presence.stuck;
  if (presence.stuck === 0 || Math.min(wish, bounds.highest) <= serving) return undefined;
  const due = presence.othersCame || (state.attempts !== null && nowMs >= state.attempts.nextAtMs);
  const more = presence.othersCame ? policy.scaleUp.maxStep : 1;
  const { highest } = growthLimit(policy, bounds, from, presence.terminating);
  const to = due ? Math.max(from, Math.min(from + more, wish + presence.stuck, highest)) : from;
  const stuck = `${presence.stuck} of ${from} replicas did not become ready in time; ${wish} are wanted`;
  return { to, reason: 'InsufficientCapacity', message: to > from ? `${stuck}; ${to - from} more are tried` : stuck };
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
  const safe = Array.from({ length: step }, (_, less) => step - less).find((count) => redistributes(policy, seen, from - count));
  return safe === undefined
    ? { to: from, reason: 'RedistributionUnsafe', message: `${wanted} are wanted, but the others could not carry what one of ${from} does` }
    : { to: from - safe, reason: 'DemandFell', message: `the demand needs ${seen.floor ?? lasting}` };
};

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
