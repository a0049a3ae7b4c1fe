import type { Clock } from './clock.ts';
import type { Informer } from './informer.ts';
import type { Logger } from './logger.ts';
import type { KubeMetrics } from './metrics.ts';
import type { KubeObject, Live, ObjectKey } from './object.ts';
import type { ResourceType } from './resource-type.ts';

export interface Result {
  /** Reconcile again after this long even if nothing changes. */
  readonly requeueAfterMs?: number | undefined;
}

export interface ReconcileContext {
  /** Carries `controller`, `object` and `reconcileID`. */
  readonly logger: Logger;
}

/**
 * Makes the world fit one object. It sees only the key, reads what it needs and may be called at any time, any number of times.
 * An error means: again, after a growing pause. A {@link TerminalError} means: not again before the next event.
 * `signal` aborts at the deadline and when the process must stop.
 */
export type Reconcile = (key: ObjectKey, signal: AbortSignal, context: ReconcileContext) => Promise<Result | undefined>;

export interface ControllerOptions {
  readonly name: string;
  readonly reconcile: Reconcile;
  /** Keys worked on at the same time; one key is never worked on twice at once. @default 1 */
  readonly concurrency?: number;
  /** For one reconcile, in ms. @default 60_000 */
  readonly deadlineMs?: number;
  readonly logger?: Logger;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
  /** Back-off of a failing key, in ms: the first pause doubles up to the longest. @default 5 and 1_000_000 */
  readonly backoffMs?: { readonly first: number; readonly longest: number };
}

/** Whether a change is worth a reconcile. Adds and deletes always are. */
export type ChangeFilter<T extends KubeObject> = (before: Live<T>, after: Live<T>) => boolean;

export declare class Controller {
  readonly name: string;
  constructor(options: ControllerOptions);
  /** Events of the reconciled kind itself: enqueue the object's key. */
  watch<T extends KubeObject>(informer: Informer<T>, worthIt?: ChangeFilter<T>): this;
  /** Events of children: enqueue the key of the controlling owner if it is an `owner`. */
  owns<T extends KubeObject>(informer: Informer<T>, owner: ResourceType, worthIt?: ChangeFilter<T>): this;
  /** Any other relation. On an update `map` is asked about both states. */
  follow<T extends KubeObject>(informer: Informer<T>, map: (object: Live<T>) => readonly ObjectKey[], worthIt?: ChangeFilter<T>): this;
  /** From outside the cluster: a timer, a metrics collector. */
  enqueue(key: ObjectKey, afterMs?: number): void;
  /** Works until `signal` aborts and every reconcile under way has ended. */
  run(signal: AbortSignal): Promise<void>;
}
