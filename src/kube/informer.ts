import { Backoff } from './backoff.ts';
import type { KubeClient, ListOptions } from './client.ts';
import { isAborted, pause } from './clock.ts';
import { ApiError, isGone, isNotFound } from './errors.ts';
import { silentLogger, type Logger } from './logger.ts';
import type { KubeMetrics } from './metrics.ts';
import { ObjectCache, type Change } from './object-cache.ts';
import { isNewerVersion, type KubeObject, type Live, type ObjectKey } from './object.ts';
import { controllerOf } from './owner.ts';
import { resourceName, type ResourceType } from './resource-type.ts';
import { sharedParts } from './shared.ts';

export interface InformerOptions<T extends KubeObject> {
  /** One namespace; all when absent. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** What the cache keeps of an object: whatever nobody reads costs memory. Not for kinds that are compared with what was applied. @default all of it */
  readonly keep?: (object: Live<T>) => Live<T>;
  /** Named look-up tables for `byIndex`: the values under which an object is found. */
  readonly indexes?: Readonly<Record<string, (object: Live<T>) => readonly string[]>>;
  /** The kind may be one that the server does not know (yet): then there are no objects of it, and the server is asked again. @default false */
  readonly optional?: boolean;
  readonly logger?: Logger;
  readonly metrics?: KubeMetrics;
  readonly timing?: Partial<InformerTiming>;
}

export interface InformerTiming {
  /** First pause after a failure, in ms; doubles with jitter. @default 800 */
  readonly backoffMinMs: number;
  /** @default 30_000 */
  readonly backoffMaxMs: number;
  /** A watch that lived this long resets the back-off, in ms. @default 5_000 */
  readonly livedMs: number;
  /** The server is asked to end a watch after this to twice this many seconds. @default 300 */
  readonly watchSeconds: number;
  /** The client gives a watch up this long after the server should have, in ms. @default 30_000 */
  readonly graceMs: number;
  /** Versions of a full list are compared with the cache this often, in ms, give or take a fifth; what differs counts as a cache miss. @default 600_000 */
  readonly resyncMs: number;
  /** How long the watch may take to tell what a resync's list already has, in ms. @default 5_000 */
  readonly settleMs: number;
  /** How often the server is asked for an optional kind that it does not know, in ms. @default 15_000 */
  readonly absentMs: number;
}

/** Called one after the other, in the order of the events. An exception is logged and counted, and stops nothing. */
export interface InformerHandler<T extends KubeObject> {
  readonly onAdd?: (object: Live<T>) => void;
  readonly onUpdate?: (before: Live<T>, after: Live<T>) => void;
  /** Gets the last state that was seen. */
  readonly onDelete?: (last: Live<T>) => void;
}

const defaultTiming: InformerTiming = {
  backoffMinMs: 800,
  backoffMaxMs: 30_000,
  livedMs: 5_000,
  watchSeconds: 300,
  graceMs: 30_000,
  resyncMs: 600_000,
  settleMs: 5_000,
  absentMs: 15_000,
};

const ownerIndex = 'owner';

/**
 * A local copy of all objects of one kind that follows the server through restarts, cut connections and expired versions.
 * Objects are deeply frozen and shared; of `metadata.managedFields` only the entries of the client's own field managers are kept.
 * An object deleted and made again under the same name is a delete and an add.
 */
export class Informer<T extends KubeObject> implements AsyncDisposable {
  readonly type: ResourceType<T>;
  readonly #client: KubeClient;
  readonly #options: InformerOptions<T>;
  readonly #timing: InformerTiming;
  readonly #logger: Logger;
  readonly #resource: string;
  readonly #cache: ObjectCache<T>;
  readonly #handlers = new Set<InformerHandler<T>>();
  readonly #synced = Promise.withResolvers<undefined>();
  #hasSynced = false;
  #absent = false;
  #lastHeard = -Infinity;
  /** Where the next watch goes on; undefined: list first. */
  #version: string | undefined;
  /** Aborts the current watch because its cache is wrong. */
  #distrust = new AbortController();
  #run: { readonly controller: AbortController; readonly done: Promise<void> } | undefined;

  constructor(client: KubeClient, type: ResourceType<T>, options: InformerOptions<T> = {}) {
    this.type = type;
    this.#client = client;
    this.#options = options;
    this.#timing = { ...defaultTiming, ...options.timing };
    this.#resource = resourceName(type);
    this.#logger = (options.logger ?? silentLogger).child({ informer: this.#resource });
    this.#cache = new ObjectCache({ ...options.indexes, [ownerIndex]: (object) => [controllerOf(object)?.uid ?? []].flat() });
  }

  /** Whether one complete list is in the cache. Stays true afterwards. */
  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** The server does not know this optional kind; it has no objects until it does. */
  get absent(): boolean {
    return this.#absent;
  }

  /** Milliseconds since the server last answered a list or sent anything on the watch; infinite before the first. */
  get staleMs(): number {
    return performance.now() - this.#lastHeard;
  }

  /** Begins to list and watch; harmless when started already. */
  start(): void {
    if (this.#run && !this.#run.controller.signal.aborted) return;
    const controller = new AbortController();
    // a start that follows a stop waits for it: there is never more than one watch
    const before = this.#run?.done ?? Promise.resolve();
    const done = before.then(() => Promise.all([this.#follow(controller.signal), this.#resync(controller.signal)])).then(() => undefined);
    this.#run = { controller, done };
  }

  /** Ends the watch and waits until nothing of it runs; the cache stays readable. */
  async stop(): Promise<void> {
    const run = this.#run;
    run?.controller.abort();
    await run?.done;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Resolves when synced; rejects with the signal's reason. */
  async waitForSync(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const onAbort = (): void => aborted.reject(signal?.reason as Error);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await Promise.race([this.#synced.promise, aborted.promise]);
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Handlers added late are told of what is there already. Returns the function that removes it. */
  addHandler(handler: InformerHandler<T>): () => void {
    this.#handlers.add(handler);
    for (const object of this.#cache.list()) this.#tell(handler, { kind: 'add', after: object });
    return () => this.#handlers.delete(handler);
  }

  get(key: ObjectKey): Live<T> | undefined {
    return this.#cache.get(key);
  }

  list(namespace?: string): readonly Live<T>[] {
    return this.#cache.list(namespace);
  }

  /** Objects filed under `value` in an index of the options. Throws RangeError when there is no such index. */
  byIndex(index: string, value: string): readonly Live<T>[] {
    return this.#cache.byIndex(index, value);
  }

  /** Objects whose ownerReference with `controller: true` has this uid. */
  ownedBy(uid: string): readonly Live<T>[] {
    return this.#cache.byIndex(ownerIndex, uid);
  }

  /**
   * Takes over what the server answered to a write of ours, so that the next look at the cache does not miss what the watch has yet to tell.
   * Handlers hear of it neither now nor from the watch: who wrote knows. What the watch has overtaken is left alone.
   */
  wrote(object: Live<T>): void {
    // while there is no version a list is under way, which has it or will be followed by a watch that tells it
    if (this.#version === undefined || !isNewerVersion(object.metadata.resourceVersion, this.#version)) return;
    if (!this.#has(object)) this.#cache.put(this.#kept(object));
  }

  /** List, watch, and so on until told to stop; no failure ends it. */
  async #follow(stop: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.#timing.backoffMinMs, this.#timing.backoffMaxMs);
    let cause = 'start';
    while (!stop.aborted) {
      const lived = { since: Infinity };
      let waitMs = 0;
      try {
        this.#version ??= await this.#list(cause, stop);
        await this.#watch(this.#version, lived, stop);
        this.#count('closed');
      } catch (error) {
        if (isAborted(stop)) {
          this.#count('stopped');
          return;
        }
        if (this.#distrust.signal.aborted) {
          this.#version = undefined;
          cause = 'resync';
          continue;
        }
        if (this.#options.optional && isNotFound(error)) {
          this.#lacks();
          cause = 'absent';
          await pause(this.#timing.absentMs, stop);
          continue;
        }
        cause = this.#afterFailure(error);
        waitMs = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
      }
      if (performance.now() - lived.since >= this.#timing.livedMs) backoff.reset();
      // a watch that keeps ending at once must not become a busy loop, whatever the reason
      else waitMs = Math.max(waitMs, backoff.next());
      await pause(waitMs, stop);
    }
  }

  /** The server does not know the kind: an empty list, as it were. */
  #lacks(): void {
    if (!this.#absent) this.#logger.info({}, 'the server does not know this kind, asking again from time to time');
    this.#absent = true;
    this.#version = undefined;
    this.#lastHeard = performance.now();
    this.#changed(this.#cache.replaceAll([]));
    this.#isSynced();
  }

  /** Decides where to go on after a failure: with a list, or from the last version seen. Returns the cause of the next list. */
  #afterFailure(error: unknown): string {
    if (isGone(error)) {
      this.#version = undefined;
      this.#count('expired');
      this.#logger.debug({ err: error }, 'watch expired, listing again');
      return 'expired';
    }
    const busy = error instanceof ApiError && (error.status === 429 || error.status === 503);
    // an error told by the server may mean that the version is unusable; a broken connection says nothing about it
    if (error instanceof ApiError && !busy) this.#version = undefined;
    this.#count('failed');
    this.#logger.warn({ err: error }, 'list or watch failed, trying again');
    return 'failed';
  }

  async #list(cause: string, signal: AbortSignal): Promise<string> {
    const keep = (item: Live<T>): Live<T> => this.#kept(item);
    const { items, resourceVersion } = await this.#client.list(this.type, { ...this.#selection(), keep, signal });
    this.#lastHeard = performance.now();
    this.#options.metrics?.informerLists.inc({ resource: this.#resource, cause });
    this.#absent = false;
    this.#changed(this.#cache.replaceAll(items));
    this.#isSynced();
    return resourceVersion;
  }

  #isSynced(): void {
    if (this.#hasSynced) return;
    this.#hasSynced = true;
    this.#options.metrics?.informerSynced.set({ resource: this.#resource }, 1);
    this.#synced.resolve(undefined);
  }

  async #watch(resourceVersion: string, lived: { since: number }, stop: AbortSignal): Promise<void> {
    const { watchSeconds, graceMs } = this.#timing;
    this.#distrust = new AbortController();
    const signal = AbortSignal.any([stop, this.#distrust.signal]);
    const onOpen = (): void => {
      lived.since = this.#lastHeard = performance.now();
    };
    const timeoutSeconds = Math.ceil(watchSeconds * (1 + Math.random()));
    for await (const event of this.#client.watch(this.type, {
      ...this.#selection(),
      resourceVersion,
      timeoutSeconds,
      graceMs,
      onOpen,
      signal,
    })) {
      this.#lastHeard = performance.now();
      this.#options.metrics?.informerEvents.inc({ resource: this.#resource, type: event.type });
      if (event.type === 'BOOKMARK') this.#version = event.resourceVersion;
      else {
        if (event.type === 'DELETED') this.#changed(this.#cache.remove(this.#kept(event.object)));
        else if (!this.#has(event.object)) this.#changed(this.#cache.put(this.#kept(event.object)));
        this.#version = event.object.metadata.resourceVersion;
      }
    }
  }

  /** From time to time compares a fresh list with the cache. Only what the watch said nothing about meanwhile counts as missed. */
  async #resync(stop: AbortSignal): Promise<void> {
    const { resyncMs, settleMs } = this.#timing;
    for (;;) {
      // all informers of a process began at the same moment
      await pause(resyncMs * (0.8 + 0.4 * Math.random()), stop);
      if (stop.aborted) return;
      if (!this.#hasSynced || this.#absent) continue;
      const before = this.#cache.versions();
      try {
        const listed = await this.#client.versions(this.type, { ...this.#selection(), signal: stop });
        await pause(settleMs, stop);
        const now = this.#cache.versions();
        const missed = [...new Set([...before.keys(), ...listed.keys()])].filter(
          (key) => before.get(key) === now.get(key) && now.get(key) !== listed.get(key),
        );
        if (missed.length === 0 || isAborted(stop)) continue;
        this.#options.metrics?.cacheMisses.inc({ resource: this.#resource }, missed.length);
        this.#logger.error({ missed: missed.slice(0, 10), count: missed.length }, 'the watch missed changes, listing again');
        this.#distrust.abort();
      } catch (error) {
        if (!isAborted(stop)) this.#logger.warn({ err: error }, 'resync failed');
      }
    }
  }

  #selection(): Pick<ListOptions, 'namespace' | 'labelSelector' | 'fieldSelector'> {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    return { namespace, labelSelector, fieldSelector };
  }

  /** Whether the cache has this state, or a newer one, as after a write of ours. */
  #has({ metadata }: Live<T>): boolean {
    const cached = this.#cache.get(metadata)?.metadata;
    if (cached === undefined) return false;
    if (cached.resourceVersion === metadata.resourceVersion) return cached.uid === metadata.uid;
    return isNewerVersion(cached.resourceVersion, metadata.resourceVersion);
  }

  /** What the cache keeps of an object: of managedFields, which can be larger than the object itself, what our applies own; equal parts once. */
  #kept(whole: Live<T>): Live<T> {
    const { metadata, ...rest } = this.#options.keep?.(whole) ?? whole;
    const { managedFields, ...other } = metadata;
    const { fieldManager, statusManager } = this.#client;
    const isOurs = (manager = ''): boolean => manager === fieldManager || manager === statusManager;
    const ours = managedFields
      ?.filter(({ manager, operation }) => operation === 'Apply' && isOurs(manager))
      // when it was applied differs from object to object, and nobody asks
      .map(({ time: _, ...entry }) => entry);
    const kept = { ...rest, metadata: withSharedParts(ours?.length ? { ...other, managedFields: ours } : other) };
    return withSharedParts(kept) as unknown as Live<T>;
  }

  #changed(changes: readonly Change<T>[]): void {
    this.#options.metrics?.informerObjects.set({ resource: this.#resource }, this.#cache.size);
    for (const change of changes) for (const handler of [...this.#handlers]) this.#tell(handler, change);
  }

  /** An exception in a handler is the handler's trouble: logged, counted, and nothing else. An async handler's too. */
  #tell(handler: InformerHandler<T>, change: Change<T>): void {
    const failed = (error: unknown): void => {
      this.#options.metrics?.handlerErrors.inc({ resource: this.#resource });
      this.#logger.error({ err: error, change: change.kind }, 'event handler failed');
    };
    try {
      const result: unknown = call(handler, change);
      if (result instanceof Promise) result.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #count(end: 'closed' | 'expired' | 'failed' | 'stopped'): void {
    this.#options.metrics?.informerWatches.inc({ resource: this.#resource, end });
  }
}

/** Frozen, and so is everything in it. Neither it nor its metadata is shared: no other object has its name. */
function withSharedParts<T extends object>(object: T): T {
  return Object.freeze(Object.fromEntries(Object.entries(object).map(([field, part]) => [field, sharedParts.of<unknown>(part)])) as T);
}

function call<T extends KubeObject>(handler: InformerHandler<T>, change: Change<T>): unknown {
  switch (change.kind) {
    case 'add':
      return handler.onAdd?.(change.after);
    case 'update':
      return handler.onUpdate?.(change.before, change.after);
    case 'delete':
      return handler.onDelete?.(change.before);
  }
}
