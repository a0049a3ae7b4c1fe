import type { KubeClient } from './client.ts';
import type { KubeObject, Live, ObjectKey } from './object.ts';
import type { ResourceType } from './resource-type.ts';
import type { Logger } from './logger.ts';
import type { KubeMetrics } from './metrics.ts';

export interface InformerOptions<T extends KubeObject> {
  /** One namespace; all when absent. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Named look-up tables for `byIndex`: the values under which an object is found. */
  readonly indexes?: Readonly<Record<string, (object: Live<T>) => readonly string[]>>;
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
  /** A full list is compared with the cache this often, in ms; what differs counts as a cache miss. @default 600_000 */
  readonly resyncMs: number;
}

/** Called one after the other, in the order of the events. An exception is logged and counted, and stops nothing. */
export interface InformerHandler<T extends KubeObject> {
  readonly onAdd?: (object: Live<T>) => void;
  readonly onUpdate?: (before: Live<T>, after: Live<T>) => void;
  /** Gets the last state that was seen. */
  readonly onDelete?: (last: Live<T>) => void;
}

/**
 * A local copy of all objects of one kind that follows the server through restarts, cut connections and expired versions.
 * Objects are deeply frozen and shared; of `metadata.managedFields` only the entries of the client's own field managers are kept.
 * An object deleted and made again under the same name is a delete and an add.
 */
export declare class Informer<T extends KubeObject> {
  readonly type: ResourceType<T>;
  constructor(client: KubeClient, type: ResourceType<T>, options?: InformerOptions<T>);
  /** Whether one complete list is in the cache. Stays true afterwards. */
  get hasSynced(): boolean;
  /** Milliseconds since the server last answered a list or sent anything on the watch; infinite before the first. */
  get staleMs(): number;
  /** Begins to list and watch; harmless when started already. */
  start(): void;
  /** Ends the watch and waits until nothing of it runs; the cache stays readable. */
  stop(): Promise<void>;
  /** Resolves when synced; rejects with the signal's reason. */
  waitForSync(signal?: AbortSignal): Promise<void>;
  /** Handlers added late are told of what is there already. Returns the function that removes it. */
  addHandler(handler: InformerHandler<T>): () => void;
  get(key: ObjectKey): Live<T> | undefined;
  list(namespace?: string): readonly Live<T>[];
  /** Objects filed under `value` in an index of the options, or in `owner`: the uid of the controlling owner. */
  byIndex(index: string, value: string): readonly Live<T>[];
  /** Objects whose ownerReference with `controller: true` has this uid. */
  ownedBy(uid: string): readonly Live<T>[];
}
