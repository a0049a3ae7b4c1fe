import type { Live } from '../kube/index.ts';

/** How long a pod may take beyond its grace period, in ms. */
const patienceMs = 60_000;

/**
 * Whether a pod that was told to end should long have ended: its node is lost, or a volume hangs. Nothing waits for it any more. The deletion
 * time of a pod already has its grace period in it.
 */
export function isStuck({ metadata: { deletionTimestamp } }: Live, now: Date): boolean {
  return deletionTimestamp !== undefined && now.getTime() > Date.parse(deletionTimestamp) + patienceMs;
}
