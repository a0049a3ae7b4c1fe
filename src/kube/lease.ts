import type { KubeClient } from './client.ts';
import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';
import type { KubeMetrics } from './metrics.ts';

export interface LeaderElectorOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Name of the Lease. */
  readonly name: string;
  /** Unlike that of any other process: pod name and a random part. */
  readonly identity: string;
  /** Others wait this long after the last renewal they saw, in ms. @default 15_000 */
  readonly leaseMs?: number;
  /** A leader that has not renewed for this long gives up, in ms; shorter than `leaseMs`. @default 10_000 */
  readonly renewDeadlineMs?: number;
  /** Pause between attempts, in ms, with jitter. @default 2_000 */
  readonly retryMs?: number;
  readonly logger?: Logger;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
}

/** Leader election over a Lease, as client-go does it: expiry counts from when *we* saw the last change, so clocks need not agree. */
export declare class LeaderElector {
  constructor(options: LeaderElectorOptions);
  get isLeader(): boolean;
  /**
   * Waits for the lease, then runs `lead` while renewing it. `lead`'s signal aborts when `signal` does or leadership is lost.
   * Resolves after `signal` aborted, `lead` returned and the lease was released; rejects with {@link LeadershipLostError}
   * (the process must exit: what it did as a leader may be half done) or with `lead`'s error.
   */
  run(signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>): Promise<void>;
}
