import { randomUUID } from 'node:crypto';
import { systemClock, type Clock } from './clock.ts';
import { isConflict, DeadlineError, TerminalError } from './errors.ts';
import type { Informer } from './informer.ts';
import { silentLogger, type Logger } from './logger.ts';
import type { KubeMetrics } from './metrics.ts';
import { keyOf, keyString, parseKey, type KubeObject, type Live, type ObjectKey } from './object.ts';
import { controllerOf, refersTo } from './owner.ts';
import type { ResourceType } from './resource-type.ts';
import { WorkQueue } from './work-queue.ts';

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
  /** Changes of other objects than the reconciled kind wait for so long, in ms, so that a burst of them is one reconcile. @default 0 */
  readonly gatherMs?: number;
  readonly logger?: Logger;
  readonly metrics?: KubeMetrics;
  readonly clock?: Clock;
  /** Back-off of a failing key, in ms: the first pause doubles up to the longest. @default 5 and 1_000_000 */
  readonly backoffMs?: { readonly first: number; readonly longest: number };
}

/** Whether a change is worth a reconcile. Adds and deletes always are. */
export type ChangeFilter<T extends KubeObject> = (before: Live<T>, after: Live<T>) => boolean;

const always = (): boolean => true;

/** Turns changes of objects into reconciles: a queue of keys in front, a number of workers behind. */
export class Controller {
  readonly name: string;
  readonly #options: ControllerOptions;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  /** Each subscribes to an informer and returns the way back. */
  readonly #sources: (() => () => void)[] = [];
  /** Present while running. */
  #queue: WorkQueue | undefined;

  constructor(options: ControllerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#logger = (options.logger ?? silentLogger).child({ controller: options.name });
    this.#clock = options.clock ?? systemClock;
    this.#deadlineMs = options.deadlineMs ?? 60_000;
  }

  /** Events of the reconciled kind itself: enqueue the object's key. */
  watch<T extends KubeObject>(informer: Informer<T>, worthIt?: ChangeFilter<T>): this {
    return this.#subscribe(informer, (object) => [keyOf(object)], worthIt, 0);
  }

  /** Events of children: enqueue the key of the controlling owner if it is an `owner`. */
  owns<T extends KubeObject>(informer: Informer<T>, owner: ResourceType, worthIt?: ChangeFilter<T>): this {
    const ownerKey = (object: Live<T>): readonly ObjectKey[] => {
      const reference = controllerOf(object);
      if (!reference || !refersTo(reference, owner)) return [];
      return [owner.namespaced ? { namespace: object.metadata.namespace, name: reference.name } : { name: reference.name }];
    };
    return this.follow(informer, ownerKey, worthIt);
  }

  /** Any other relation. On an update `map` is asked about both states. */
  follow<T extends KubeObject>(informer: Informer<T>, map: (object: Live<T>) => readonly ObjectKey[], worthIt?: ChangeFilter<T>): this {
    return this.#subscribe(informer, map, worthIt, this.#options.gatherMs ?? 0);
  }

  #subscribe<T extends KubeObject>(
    informer: Informer<T>,
    map: (object: Live<T>) => readonly ObjectKey[],
    worthIt: ChangeFilter<T> = always,
    afterMs: number,
  ): this {
    // a key once, though before and after give the same: the second would be a second reconcile
    const add = (...objects: readonly Live<T>[]): void => {
      const keys = new Map(objects.flatMap(map).map((key) => [keyString(key), key]));
      for (const key of keys.values()) this.enqueue(key, afterMs);
    };
    this.#sources.push(() =>
      informer.addHandler({
        onAdd: (object) => add(object),
        onUpdate: (before, after) => {
          if (worthIt(before, after)) add(before, after);
        },
        onDelete: (last) => add(last),
      }),
    );
    return this;
  }

  /** From outside the cluster: a timer, a metrics collector. Ignored while the controller does not run (a start reconciles everything). */
  enqueue(key: ObjectKey, afterMs = 0): void {
    this.#queue?.addAfter(keyString(key), afterMs);
  }

  /** A reconcile that ignores its aborted signal long past the deadline, in words; only a restart of the process helps. */
  get problem(): string | undefined {
    for (const [key, ageMs] of this.#queue?.underWay ?? [])
      if (ageMs > 5 * this.#deadlineMs) return `controller ${this.name}: reconcile of ${key} hangs for ${Math.round(ageMs / 1000)} s`;
    return undefined;
  }

  /** Works until `signal` aborts and every reconcile under way has ended. Every object the informers know is reconciled at the start. */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#queue) throw new Error(`controller ${this.name} runs already`);
    const { concurrency = 1, metrics, backoffMs, name } = this.#options;
    const queue = new WorkQueue({ name, clock: this.#clock, metrics, backoffMs });
    this.#queue = queue;
    metrics?.maxConcurrentReconciles.set({ controller: name }, concurrency);
    const unsubscribe = this.#sources.map((subscribe) => subscribe());
    const shutDown = (): void => queue.shutDown();
    signal.addEventListener('abort', shutDown, { once: true });
    try {
      await Promise.all(Array.from({ length: concurrency }, () => this.#work(queue, signal)));
    } finally {
      signal.removeEventListener('abort', shutDown);
      for (const stop of unsubscribe) stop();
      queue.shutDown();
      this.#queue = undefined;
    }
  }

  async #work(queue: WorkQueue, signal: AbortSignal): Promise<void> {
    for (;;) {
      const key = await queue.take(signal);
      if (key === undefined) return;
      this.#options.metrics?.activeWorkers.inc({ controller: this.name });
      try {
        await this.#handle(queue, key, signal);
      } finally {
        queue.done(key);
        this.#options.metrics?.activeWorkers.dec({ controller: this.name });
      }
    }
  }

  async #handle(queue: WorkQueue, key: string, stop: AbortSignal): Promise<void> {
    const { metrics, reconcile } = this.#options;
    const controller = this.name;
    const logger = this.#logger.child({ object: key, reconcileID: randomUUID() });
    const started = this.#clock.now();
    const deadline = new AbortController();
    const cancel = this.#clock.setTimeout(
      () => deadline.abort(new DeadlineError(`reconcile of ${key}`, this.#deadlineMs)),
      this.#deadlineMs,
    );
    try {
      const result = await reconcile(parseKey(key), AbortSignal.any([stop, deadline.signal]), { logger });
      queue.forget(key);
      const again = result?.requeueAfterMs;
      if (again !== undefined) queue.addAfter(key, again);
      metrics?.reconciles.inc({ controller, result: again === undefined ? 'success' : 'requeue_after' });
    } catch (error) {
      // what breaks because the process stops is no failure
      if (stop.aborted) return;
      metrics?.reconciles.inc({ controller, result: 'error' });
      metrics?.reconcileErrors.inc({ controller });
      if (error instanceof TerminalError) {
        metrics?.terminalReconcileErrors.inc({ controller });
        queue.forget(key);
        logger.error({ err: error }, 'reconcile failed, retrying cannot help');
        return;
      }
      const retryInMs = Math.round(queue.addRateLimited(key));
      // a conflict only means that the cache was a moment behind
      if (isConflict(error)) logger.info({ err: error, retryInMs }, 'reconcile met a conflict');
      else logger.error({ err: error, retryInMs }, 'reconcile failed');
    } finally {
      cancel();
      metrics?.reconcileSeconds.observe({ controller }, (this.#clock.now() - started) / 1000);
    }
  }
}
