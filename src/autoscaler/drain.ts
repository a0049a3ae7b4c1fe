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
  /** Pods of the pool as they are now. */
  readonly replicas: readonly ReplicaSample[];
  readonly marks: readonly DrainMark[];
  /** Routers that may hold a call: all must have answered. */
  readonly routers: readonly string[];
  readonly reports: readonly RouterReport[];
  /** A drain older than this ends although a router did not answer: its calls go to another replica. Ms. */
  readonly timeoutMs: number;
}

/** What is to be done now; do all of it, then look again. */
export interface DrainStep {
  /** Write a mark on these, so that routers stop choosing them. */
  readonly mark: readonly string[];
  /** Take the mark off again: they are wanted after all. */
  readonly unmark: readonly string[];
  /** Give these a deletion cost below all others. */
  readonly setDeletionCost: readonly string[];
  /** What `replicas` of the child is to be set to; equal to `specReplicas`: leave it. */
  readonly replicas: number;
  /** Marked ones that wait for a router, and for which. */
  readonly waiting: readonly { readonly id: string; readonly for: string }[];
}

/** The next step from `specReplicas` to `wanted`. */
export function nextDrainStep(view: DrainView, _nowMs: number): DrainStep {
  return { mark: [], unmark: [], setDeletionCost: [], replicas: Math.max(view.specReplicas, view.wanted), waiting: [] };
}
