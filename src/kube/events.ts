import type { KubeClient } from './client.ts';
import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';
import type { KubeMetrics } from './metrics.ts';
import type { Live } from './object.ts';

export interface EventNote {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, stable: what scripts look for. */
  readonly reason: string;
  /** CamelCase verb: what the controller was doing. */
  readonly action: string;
  /** For people; cut at 1024 bytes. */
  readonly note: string;
}

/** Writes events.k8s.io/v1 in the background: a repeated event raises its series count, a flood is dropped and counted, a failure is only logged. */
export declare class EventRecorder {
  constructor(
    client: KubeClient,
    options: {
      /** For example `r2r.dev/operator`. */
      readonly controller: string;
      /** The process: the pod's name. */
      readonly instance: string;
      readonly logger?: Logger;
      readonly metrics?: KubeMetrics;
      readonly clock?: Clock;
    },
  );
  /** Never throws and never waits. */
  record(about: Live, event: EventNote): void;
  /** Sends what is queued, at most until `deadlineMs`. */
  flush(deadlineMs?: number): Promise<void>;
}
