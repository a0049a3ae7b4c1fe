import type { ReplicaSample } from './types.ts';

/** A drain that has begun, as the operator has written it on the pod. */
export interface DrainMark {
  /** UID of the pod. */
  readonly id: string;
  /** ms since the epoch. */
  readonly sinceMs: number;
  /** Its deletion cost is set: it is the one that goes when `replicas` falls. */
  readonly costSet: boolean;
}

/** What one router says about its calls. */
export interface RouterReport {
  readonly router: string;
  /** Replicas to which it starts no call any more. */
  readonly draining: readonly string[];
  /** Calls that it has under way, by replica; a replica left out has none. */
  readonly inFlight: Readonly<Record<string, number>>;
}

export interface DrainView {
  /** Replicas decided last. */
  readonly wanted: number;
  /** `replicas` of the child as it is now; those that drain are among them. */
  readonly specReplicas: number;
  /** Pods of the pool as they are now: no finished ones, and none of a roll-out under way, during which nothing drains. */
  readonly replicas: readonly ReplicaSample[];
  readonly marks: readonly DrainMark[];
  /** Routers that may hold a call: all must have answered. */
  readonly routers: readonly string[];
  /** Of the routers that answered lately. */
  readonly reports: readonly RouterReport[];
  /** A drain older than this ends although a router did not answer: its calls go to another replica. Ms. */
  readonly timeoutMs: number;
}

/** What is to be done now: first `unmark` and `mark`, then `setDeletionCost`, then `replicas`; then look again. */
export interface DrainStep {
  /** Write a mark on these, so that routers stop choosing them. */
  readonly mark: readonly string[];
  /** Take mark and deletion cost off again: they are wanted after all, or gone. */
  readonly unmark: readonly string[];
  /** Give these a deletion cost below all others. */
  readonly setDeletionCost: readonly string[];
  /** What `replicas` of the child is to be set to; equal to `specReplicas`: leave it. */
  readonly replicas: number;
  /** Marked ones that wait, and for what. */
  readonly waiting: readonly DrainWait[];
}

export interface DrainWait {
  readonly id: string;
  readonly for: string;
}

/**
 * The next step from `specReplicas` to `wanted`: mark, wait until all routers have stopped and ended their calls, set the deletion cost, lower
 * `replicas` by those whose cost is set. Each is seen written before the next one is taken, so that a step lost or done twice does no harm. A drain is
 * given up while its pod still stands when more are wanted again.
 */
export function nextDrainStep(view: DrainView, nowMs: number): DrainStep {
  const { wanted, specReplicas } = view;
  const standing = view.replicas.filter(({ terminating }) => terminating !== true);
  const marks = view.marks.filter(({ id }) => standing.some((replica) => replica.id === id));
  const gone = view.marks.filter(({ id }) => !view.replicas.some((replica) => replica.id === id)).map(({ id }) => id);
  const surplus = Math.max(0, specReplicas - wanted);
  // fewer pods than `replicas` says: those that are yet to be made go without a drain
  const unmade = Math.max(0, specReplicas - standing.length);
  // by pods, not by `replicas`: one whose deletion is under way keeps mark and cost until it is seen to end
  const leaving = Math.max(0, standing.length - wanted);
  const underWay = Math.max(0, standing.length - specReplicas);
  const kept = [...marks].sort((a, b) => Number(b.costSet) - Number(a.costSet) || a.sinceMs - b.sinceMs).slice(0, leaving);
  const unmark = [...gone, ...marks.filter((mark) => !kept.includes(mark)).map(({ id }) => id)];
  const candidates = drainOrder(standing.filter(({ id }) => !marks.some((mark) => mark.id === id)));
  const mark = candidates.slice(0, leaving - kept.length).map(({ id }) => id);

  const waits = kept.map((each) => ({ mark: each, for: waitsFor(view, standing, each, nowMs) }));
  const quiet = waits.filter(({ for: reason }) => reason === undefined).map(({ mark: each }) => each);
  // a deletion cost that is to be taken off must be off before `replicas` falls, or the wrong pod goes
  const mayFall = unmark.every((id) => !marks.some((each) => each.id === id && each.costSet));
  const falling = mayFall ? Math.min(surplus, Math.max(0, unmade + quiet.filter(({ costSet }) => costSet).length - underWay)) : 0;
  return {
    mark,
    unmark,
    setDeletionCost: quiet.filter(({ costSet }) => !costSet).map(({ id }) => id),
    replicas: Math.max(wanted, specReplicas - falling),
    waiting: waits.flatMap(({ mark: { id }, for: reason }) => (reason === undefined ? [] : [{ id, for: reason }])),
  };
}

/** Which replica goes first: one that is not ready, then the one with the fewest calls, then the youngest. */
export function drainOrder(replicas: readonly ReplicaSample[]): readonly ReplicaSample[] {
  return [...replicas].sort(
    (a, b) =>
      Number(a.ready) - Number(b.ready) ||
      a.inFlight - b.inFlight ||
      b.createdAtMs - a.createdAtMs ||
      (a.id < b.id ? -1 : Number(a.id > b.id)),
  );
}

/** What a marked replica still waits for; undefined: it may go. */
function waitsFor(view: DrainView, standing: readonly ReplicaSample[], { id, sinceMs }: DrainMark, nowMs: number): string | undefined {
  if (nowMs - sinceMs >= view.timeoutMs) return undefined;
  const replica = standing.find((each) => each.id === id);
  // no router chooses a replica that is not ready
  if (replica && !replica.ready && replica.inFlight === 0) return undefined;
  for (const router of view.routers) {
    const report = view.reports.find((each) => each.router === router);
    if (!report) return `${router} to answer`;
    if (!report.draining.includes(id)) return `${router} to stop choosing it`;
    const calls = report.inFlight[id] ?? 0;
    if (calls > 0) return `${calls} calls of ${router}`;
  }
  return undefined;
}
