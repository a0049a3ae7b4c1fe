import type { KubeConfig } from '@kubernetes/client-node';
import type { KubeObject, Live, Manifest, ObjectKey } from './object.ts';
import type { ResourceType } from './resource-type.ts';
import type { Logger } from './logger.ts';
import type { KubeMetrics } from './metrics.ts';

export interface ClientOptions {
  /** Owner of the fields that `apply` sends; `applyStatus` uses `<fieldManager>-status`. */
  readonly fieldManager: string;
  /** @default the field manager */
  readonly userAgent?: string;
  /** For the whole call with its retries, in ms. @default 30_000 */
  readonly deadlineMs?: number;
  /** Retries after 429, 503 and (idempotent verbs) broken connections. @default 5 */
  readonly retries?: number;
  readonly logger?: Logger;
  readonly metrics?: KubeMetrics;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** @default the client's */
  readonly deadlineMs?: number | undefined;
}

export interface WriteOptions extends CallOptions {
  /** @default the client's (`applyStatus`: with `-status`) */
  readonly fieldManager?: string;
  /** Validate and answer, store nothing. */
  readonly dryRun?: boolean;
}

export interface ApplyOptions extends WriteOptions {
  /** Take fields over from other managers instead of failing with a conflict (409). @default true */
  readonly force?: boolean;
}

export interface ListOptions extends CallOptions {
  /** One namespace; all when absent. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Objects a page; pages are fetched one after the other until the list is whole. @default 500 */
  readonly pageSize?: number;
}

export interface ObjectList<T extends KubeObject> {
  readonly items: readonly Live<T>[];
  /** Where a watch goes on from. */
  readonly resourceVersion: string;
}

export interface DeleteOptions extends CallOptions {
  /** @default 'Background' */
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan';
  /** Delete only the object with this uid (else 409), never a namesake made meanwhile. */
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly gracePeriodSeconds?: number;
}

export interface WatchOptions extends Omit<ListOptions, 'pageSize' | 'deadlineMs'> {
  /** Events after this version. Always sent: without it some servers refuse bookmarks. */
  readonly resourceVersion: string;
  /** The server ends the watch after this long, in seconds. @default 300 */
  readonly timeoutSeconds?: number;
  /** How long the client waits beyond `timeoutSeconds` before it gives the connection up, in ms. @default 30_000 */
  readonly graceMs?: number;
  /** Called when the server has accepted the watch, before any event. */
  readonly onOpen?: () => void;
}

/** `ERROR` events are thrown as {@link ApiError} and never seen here. */
export type WatchEvent<T extends KubeObject> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: Live<T> }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string };

export interface RawRequest extends CallOptions {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path with query, for example `/version` or `/api/v1/namespaces/a/pods/b:9090/proxy/metrics`. */
  readonly path: string;
  readonly contentType?: string;
  /** Sent as JSON unless it is a string. */
  readonly body?: unknown;
}

/**
 * The API server over one shared pool of connections: JSON in, JSON out, nothing dropped, a deadline on every call.
 * Errors: {@link ApiError} (the server refused), {@link ConnectionError}, {@link DeadlineError}, {@link ResponseError};
 * an aborted `signal` rejects with its reason.
 */
export declare class KubeClient {
  readonly fieldManager: string;
  /** Uses the current context of `config` for addresses and credentials (token files and exec plugins are read again when due). */
  static fromConfig(config: KubeConfig, options: ClientOptions): KubeClient;
  get<T extends KubeObject>(type: ResourceType<T>, key: ObjectKey, options?: CallOptions): Promise<Live<T>>;
  /** Like `get`, with `undefined` for an object that is not there. */
  find<T extends KubeObject>(type: ResourceType<T>, key: ObjectKey, options?: CallOptions): Promise<Live<T> | undefined>;
  list<T extends KubeObject>(type: ResourceType<T>, options?: ListOptions): Promise<ObjectList<T>>;
  create<T extends KubeObject>(type: ResourceType<T>, object: Manifest, options?: WriteOptions): Promise<Live<T>>;
  /** Writes the whole object; with `metadata.resourceVersion` set it fails with a conflict when the object changed meanwhile. */
  replace<T extends KubeObject>(type: ResourceType<T>, object: Manifest, options?: WriteOptions): Promise<Live<T>>;
  /** JSON merge patch: `null` deletes a field, lists are replaced. */
  patch<T extends KubeObject>(
    type: ResourceType<T>,
    key: ObjectKey,
    patch: object,
    options?: WriteOptions & { readonly subresource?: string },
  ): Promise<Live<T>>;
  /** Server-side apply: creates the object, or makes the fields given here ours and removes those we gave earlier and no longer do. */
  apply<T extends KubeObject>(type: ResourceType<T>, desired: Manifest, options?: ApplyOptions): Promise<Live<T>>;
  /** Server-side apply of the status subresource; sends only apiVersion, kind, name, namespace and `status`. */
  applyStatus<T extends KubeObject>(type: ResourceType<T>, key: ObjectKey, status: object, options?: ApplyOptions): Promise<Live<T>>;
  /** Resolves to whether there was an object to delete; a missing one is no error. */
  delete(type: ResourceType, key: ObjectKey, options?: DeleteOptions): Promise<boolean>;
  /** One watch, from open to close; ends when the server ends it. See {@link Informer} for one that goes on for ever. */
  watch<T extends KubeObject>(type: ResourceType<T>, options: WatchOptions): AsyncGenerator<WatchEvent<T>, void, undefined>;
  /** Any other path: pod proxy, pod logs, `/version`. Resolves to the body as text; JSON is the caller's to parse. */
  raw(request: RawRequest): Promise<string>;
  /** Closes all connections; calls under way are rejected. */
  close(): Promise<void>;
}
