import type { ReplicaSample } from './types.ts';

/** A replica's KV cache counts as full from here on. */
const fullKv = 0.8;
/** Spare KV cache, on average over the replicas, below which another one is wanted. */
const spareKv = 0.1;
/** More spare must be left by the replicas that stay when one goes, so that it is not wanted back at once. */
const spareKvAfter = 0.2;
/** Calls that wait, for one that runs: at 1 a call waits for a whole batch. One of a token often waits for the step under way. */
const fullQueue = 0.85;
const fullQueueAfter = 0.65;
/** Fewer waiting calls a replica than this are none. */
const someQueue = 5;

/** Replicas that queue and KV cache of those that serve need; at most one more than there are. */
export function neededForSpare(serving: readonly ReplicaSample[], waitingRequests: number): number {
  const count = serving.length;
  if (count === 0) return waitingRequests > 0 ? 1 : 0;
  const forKv = Math.ceil(round(total(serving, 'kvUsage') / (fullKv - spareKv)));
  const low = queueShare(serving) > fullQueue || waitingRequests > 0;
  return Math.min(count + 1, Math.max(low ? count + 1 : 0, forKv));
}

/** Whether `count` replicas could carry the calls and contexts of those that serve now. */
export function canCarry(serving: readonly ReplicaSample[], count: number): boolean {
  if (count === 0) return serving.every(({ inFlight, queuedRequests }) => inFlight === 0 && (queuedRequests ?? 0) === 0);
  return total(serving, 'kvUsage') / count <= fullKv - spareKvAfter && queueShare(serving) <= fullQueueAfter;
}

/** Waiting calls for each that runs. */
function queueShare(serving: readonly ReplicaSample[]): number {
  const queued = total(serving, 'queuedRequests');
  return queued < someQueue * serving.length ? 0 : queued / Math.max(1, total(serving, 'runningRequests'));
}

function total(replicas: readonly ReplicaSample[], key: 'kvUsage' | 'queuedRequests' | 'runningRequests'): number {
  return replicas.reduce((sum, replica) => sum + (replica[key] ?? 0), 0);
}

/** Without the last bits, which would make 3.0000000000000004 a 4. */
function round(value: number): number {
  return Math.round(value * 1e9) / 1e9;
}
