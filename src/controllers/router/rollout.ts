import type { Condition as StoredCondition } from '../../api/r2rdeployment-status.ts';
import type { ConditionInput } from '../../api/conditions.ts';
import { routerReasons } from '../../api/r2rrouter-status.ts';
import type { RouterConditionType, RouterFollower } from '../../api/r2rrouter-status.ts';
import { isoTime } from './step-state.ts';

/** An R2RDeployment that follows the router, as far as the roll-out looks at it. */
export interface Follower {
  readonly name: string;
  /** Bundle in force at every router of it; undefined while they differ, or none runs. */
  readonly inForce: string | undefined;
  /** Its condition RouterReady. */
  readonly routers: Pick<StoredCondition, 'status' | 'reason' | 'message' | 'lastTransitionTime'> | undefined;
}

export interface RolloutInput {
  readonly followers: readonly Follower[];
  /** As the status has them. */
  readonly before: readonly RouterFollower[];
  /** Digest of the bundle that deployments are to get. */
  readonly offered: string | undefined;
  readonly observeSeconds: number;
  /** Of spec.rollout: when it changes, a bundle that was refused is tried again. */
  readonly specHash: string;
  readonly now: Date;
}

export interface Rollout {
  readonly followers: readonly RouterFollower[];
  readonly condition: ConditionInput<RouterConditionType>;
  /** When to look again, if nothing changes before. */
  readonly atMs?: number;
}

/** What routers say of themselves that a bundle may be to blame for. */
const bundleFaults: ReadonlySet<string> = new Set(['BundleRefused', 'LogitSpreadHigh', 'RouterErrors', 'CrashLoopBackOff', 'OOMKilled']);

/** Routers that do not run: they may have crashed over the bundle before, and wait for the kubelet to try again for minutes. */
const crashes: ReadonlySet<string> = new Set(['CrashLoopBackOff', 'OOMKilled']);

/** A fault that was there before the bundle is held against it only when it lasts so long: errors are counted over a minute. */
const graceMs = 90_000;

/** A deployment whose routers do not take a bundle over, perhaps because none runs, keeps the others waiting for so long. */
const patienceMs = 10 * 60_000;

/**
 * Who gets which bundle: one deployment after the other, in the order of their names. Each is watched with the new bundle before the next one
 * gets it; one whose routers report errors or an alarm meanwhile goes back to the bundle it had, and no further one gets the new. Pure: what
 * there is to know is in the status.
 */
export function rollOut(input: RolloutInput): Rollout {
  const { offered, now } = input;
  const followers = input.followers.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const settled = followers.map((follower) => ({ follower, record: settle(follower, recordOf(follower, input), input) }));
  const halted = settled.some(({ record }) => record.refused !== undefined && record.refused === offered);
  const proven = settled.some(({ record }) => record.digest === offered && record.state === 'Done');
  const elsewhere = settled.find(({ record }) => isProven(record))?.record.digest;
  let busy = settled.some(({ record }) => record.digest === offered && isUnderWay(record, now));
  const records = settled.map(({ follower, record }): RouterFollower => {
    if (offered === undefined || record.digest === offered || record.refused === offered) return record;
    // What works elsewhere need not be watched before one that has nothing gets it.
    const isNew = record.digest === undefined && proven;
    if (halted || (busy && !isNew)) return waiting(record, halted, elsewhere, now);
    busy = true;
    return settle(follower, begun(record, offered, now), input);
  });
  const times = records.flatMap((record) => nextMs(record, input) ?? []);
  return {
    followers: records,
    condition: { type: 'RolledOut', ...told(records, offered) },
    ...(times.length > 0 && { atMs: Math.min(...times) }),
  };
}

function recordOf({ name }: Follower, { before, offered, specHash, now }: RolloutInput): RouterFollower {
  const found = before.find((each) => each.name === name);
  if (!found) return { name, state: 'Waiting', since: isoTime(now) };
  // It waited for another bundle, and what it has is wanted again: watched to the end, or not yet.
  if (found.state === 'Waiting' && found.digest !== undefined && found.digest === offered) {
    const { message: _, ...rest } = found;
    return { ...rest, state: found.previous === undefined ? 'Done' : 'Updating', since: isoTime(now) };
  }
  // Another bundle, or another wish for the roll-out: it is tried again.
  if (found.refused === undefined || (found.refused === offered && found.specHash === specHash)) return found;
  const { refused: _, specHash: __, message: ___, ...rest } = found;
  return { ...rest, state: found.digest !== undefined && found.digest === offered ? 'Done' : 'Waiting', since: isoTime(now) };
}

/** How a deployment that has been given the offered bundle gets on with it. */
function settle(follower: Follower, record: RouterFollower, input: RolloutInput): RouterFollower {
  const { offered, observeSeconds, specHash, now } = input;
  const { digest, state } = record;
  if (digest === undefined || digest !== offered || (state !== 'Updating' && state !== 'Observing')) return record;
  const fault = faultOf(follower, digest);
  if (fault && isBlamed(fault, record, now)) return wentBack(record, digest, `${fault.reason}: ${fault.message}`, specHash, now);
  if (follower.inForce !== digest) {
    const isLate = state === 'Updating' && !isUnderWay(record, now);
    const message = isLate ? 'its routers have not taken the bundle over; the others go on' : 'its routers take the bundle over';
    return { ...record, state: 'Updating', message, ...(state === 'Observing' && { since: isoTime(now) }) };
  }
  const observed: RouterFollower =
    state === 'Observing' ? record : { ...record, state: 'Observing', message: 'its routers are watched', since: isoTime(now) };
  if (fault || now.getTime() < sinceMs(observed, now) + observeSeconds * 1000) return observed;
  const { message: _, previous: __, ...rest } = observed;
  return { ...rest, state: 'Done', since: isoTime(now) };
}

/** What the routers report that the bundle may be to blame for: while it is in force, or that it cannot come into force. */
function faultOf({ inForce, routers }: Follower, digest: string): Follower['routers'] {
  if (routers?.status !== 'False' || !bundleFaults.has(routers.reason)) return undefined;
  return inForce === digest || routers.reason === 'BundleRefused' || crashes.has(routers.reason) ? routers : undefined;
}

/** A fault that is older than the bundle is held against it only when it lasts; one of routers that have not run since, never. */
function isBlamed({ reason, lastTransitionTime }: NonNullable<Follower['routers']>, record: RouterFollower, now: Date): boolean {
  const since = sinceMs(record, now);
  return Date.parse(lastTransitionTime) >= since || (!crashes.has(reason) && now.getTime() >= since + graceMs);
}

function begun({ name, digest, previous = digest }: RouterFollower, offered: string, now: Date): RouterFollower {
  // A bundle that was not watched to the end is none to go back to: then `previous` is still there.
  if (previous === offered) return { name, digest: offered, state: 'Done', since: isoTime(now) };
  return { name, digest: offered, state: 'Updating', ...(previous !== undefined && { previous }), since: isoTime(now) };
}

function wentBack({ name, previous }: RouterFollower, refused: string, message: string, specHash: string, now: Date): RouterFollower {
  return {
    name,
    ...(previous !== undefined && { digest: previous }),
    state: 'RolledBack',
    refused,
    specHash,
    message: message.slice(0, 1024),
    since: isoTime(now),
  };
}

/** @param elsewhere - a bundle that another deployment was watched with: one that has none yet gets it meanwhile */
function waiting(record: RouterFollower, halted: boolean, elsewhere: string | undefined, now: Date): RouterFollower {
  const message = halted ? 'another deployment went back from this bundle' : 'another deployment comes first';
  const digest = record.digest ?? (record.refused === undefined ? elsewhere : undefined);
  return {
    ...record,
    ...(digest !== undefined && { digest }),
    state: 'Waiting',
    message,
    ...(record.state !== 'Waiting' && { since: isoTime(now) }),
  };
}

/** Whether it has been watched to the end with the bundle it has. */
function isProven({ digest, state, previous }: RouterFollower): boolean {
  return digest !== undefined && previous === undefined && state !== 'Updating' && state !== 'Observing';
}

function isUnderWay(record: RouterFollower, now: Date): boolean {
  return record.state === 'Observing' || (record.state === 'Updating' && now.getTime() - sinceMs(record, now) < patienceMs);
}

function nextMs(record: RouterFollower, { observeSeconds, now }: RolloutInput): number | undefined {
  if (record.state !== 'Updating' && record.state !== 'Observing') return undefined;
  const ends = record.state === 'Observing' ? [observeSeconds * 1000, graceMs] : [graceMs, patienceMs];
  const ahead = ends.map((afterMs) => sinceMs(record, now) + afterMs).filter((atMs) => atMs > now.getTime());
  return ahead.length > 0 ? Math.min(...ahead) : undefined;
}

function sinceMs({ since }: RouterFollower, now: Date): number {
  return since === undefined ? now.getTime() : Date.parse(since);
}

function told(records: readonly RouterFollower[], offered: string | undefined): Omit<ConditionInput<RouterConditionType>, 'type'> {
  if (offered === undefined) return { status: 'False', reason: routerReasons.noBundle, message: 'no bundle is offered yet' };
  if (records.length === 0) {
    const message = 'no R2RDeployment of this namespace names this router in spec.router.checkpoint.routerRef';
    return { status: 'True', reason: routerReasons.noFollowers, message };
  }
  const bundle = `bundle ${offered.slice(0, 12)}`;
  const back = records.find(({ refused }) => refused === offered);
  if (back) {
    const message = `R2RDeployment ${back.name} went back from ${bundle}: ${back.message ?? ''}`;
    return { status: 'False', reason: routerReasons.rolledBack, message };
  }
  const done = records.filter(({ digest, state }) => digest === offered && state === 'Done').length;
  const count = `${done} of ${records.length} deployments use ${bundle}`;
  if (done === records.length) return { status: 'True', reason: routerReasons.rolledOut, message: count };
  const busy = records.find(({ state }) => state === 'Updating' || state === 'Observing');
  return {
    status: 'False',
    reason: routerReasons.rollingOut,
    message: busy ? `${count}; ${busy.name}: ${busy.message ?? busy.state}` : count,
  };
}
