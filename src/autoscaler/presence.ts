import type { PoolSample, ReplicaSample } from './types.ts';

/** Which replicas there are, and since when others are awaited. */
export interface PresenceState {
  /** Since when each replica is not ready, by UID; 0: it is ready. */
  readonly notReadySinceMs: Readonly<Record<string, number>>;
  /** Since when fewer replicas exist than were asked for; null: all do. */
  readonly missingSinceMs: number | null;
  /** Average time from a replica's creation until it was ready; null: none was seen to become ready. */
  readonly startMs: number | null;
  /** A replica that takes so many times as long, while others that were made no earlier serve, does not come. */
  readonly patience: number;
}

export interface Presence {
  /** Serving: ready, and not on their way out. */
  readonly serving: readonly ReplicaSample[];
  /** Asked for, not ready, and not past the deadline. */
  readonly pending: number;
  /** Asked for, and past the deadline. */
  readonly stuck: number;
  /** Their GPUs come free by themselves. */
  readonly terminating: number;
  /** A replica became ready since the sample before. */
  readonly came: boolean;
  /** One made no earlier than those that are stuck serves: there is capacity, and they are broken. */
  readonly othersCame: boolean;
}

/** A replica that takes twice as long as others is taken for broken. */
const leastPatience = 2;
const mostPatience = 64;

export const nobodyPresent: PresenceState = { notReadySinceMs: {}, missingSinceMs: null, startMs: null, patience: leastPatience };

/** Replicas made within this time were made together. */
const sameTimeMs = 30_000;

/** Looks at the pool's replicas, of which `asked` were asked for. */
export function observePresence(
  state: PresenceState,
  sample: PoolSample,
  asked: number,
  deadlineMs: number,
): { readonly state: PresenceState; readonly presence: Presence } {
  const { atMs } = sample;
  const leaving = (replica: ReplicaSample): boolean => replica.draining || replica.terminating === true;
  const staying = sample.replicas.filter((replica) => !leaving(replica));
  // one that was ready and is not now has its time from now on: it may be back at once
  const sinceMs = (replica: ReplicaSample): number => {
    if (replica.ready) return 0;
    const before = state.notReadySinceMs[replica.id];
    return before === undefined ? replica.createdAtMs : before === 0 ? atMs : before;
  };
  const notReadySinceMs = Object.fromEntries(staying.map((replica) => [replica.id, sinceMs(replica)]));
  const newcomers = staying.filter((replica) => replica.ready && (state.notReadySinceMs[replica.id] ?? 0) > 0);
  const startMs = newcomers.reduce<number | null>((average, { createdAtMs, id }) => {
    // one that only came back tells nothing of a start
    if (state.notReadySinceMs[id] !== createdAtMs) return average;
    return average === null ? atMs - createdAtMs : average + 0.3 * (atMs - createdAtMs - average);
  }, state.startMs);
  const missing = Math.max(0, asked - staying.length);
  const missingSinceMs = missing > 0 ? (state.missingSinceMs ?? atMs) : null;
  const serving = staying.filter(({ ready }) => ready);
  const patience = Math.max(leastPatience, state.patience / 2 ** newcomers.length);
  const overdue = (since: number, afterMs: number): boolean => since > 0 && atMs - since > afterMs;
  const madeLaterServes = ({ createdAtMs }: ReplicaSample): boolean =>
    serving.some((other) => other.createdAtMs >= createdAtMs - sameTimeMs);
  // where others came that were made no earlier, there is no need to wait for the whole deadline
  const patienceMs = (replica: ReplicaSample): number =>
    startMs !== null && madeLaterServes(replica) ? Math.min(deadlineMs, patience * startMs) : deadlineMs;
  const overdueReplicas = staying.filter((replica) => overdue(notReadySinceMs[replica.id] ?? 0, patienceMs(replica)));
  const late = overdueReplicas.length + (overdue(missingSinceMs ?? 0, deadlineMs) ? missing : 0);
  const stuck = Math.min(late, Math.max(0, asked - serving.length));
  return {
    state: { notReadySinceMs, missingSinceMs, startMs, patience },
    presence: {
      serving,
      stuck,
      pending: Math.max(0, asked - serving.length - stuck),
      terminating: sample.replicas.filter(({ terminating }) => terminating).length,
      came: newcomers.length > 0,
      othersCame: overdueReplicas.length > 0 && overdueReplicas.every(madeLaterServes),
    },
  };
}

/** After replicas were given up: those made in their place get twice the time, for they may just be slow. Those given up soon after others count with them. */
export function morePatient(state: PresenceState, sinceOthersMs: number): PresenceState {
  if (sinceOthersMs < (state.startMs ?? 0)) return state;
  return { ...state, patience: Math.min(mostPatience, 2 * state.patience) };
}
