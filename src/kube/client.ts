import type { KubeConfig } from '@kubernetes/client-node';
import { Caller, labelOf, type Call } from './caller.ts';
import { KubeConfigCredentials, type CredentialSource } from './credentials.ts';
import { Deadline } from './deadline.ts';
import { ConnectionError, isGone, isNotFound, KubeError, ResponseError } from './errors.ts';
import { silentLogger, type Logger } from './logger.ts';
import type { KubeMetrics } from './metrics.ts';
import { keyOf, keyString, type KubeObject, type Live, type Manifest, type ObjectKey } from './object.ts';
import { apiVersionOf, resourceName, resourcePath, type ResourceType } from './resource-type.ts';
import { Transport } from './transport.ts';
import { lines, parseWatchEvent, type WatchEvent } from './watch-stream.ts';

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
  /** @default the client's */
  readonly retries?: number | undefined;
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

export interface ApplyStatusOptions extends ApplyOptions {
  /** The version that the status was decided from: fails with a conflict (409) when the object has changed since. */
  readonly resourceVersion?: string | undefined;
}

export interface PatchOptions extends WriteOptions {
  /** For example `status` or `scale`. */
  readonly subresource?: string;
}

export interface ListOptions extends CallOptions {
  /** One namespace; all when absent. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Objects a page, which is in memory whole, as text and parsed; pages are fetched one after the other until the list is whole. @default 100 */
  readonly pageSize?: number;
}

/** What of each object a list keeps, applied before the next page is fetched: a whole list at once may be large. */
export interface KeepOptions<T extends KubeObject> {
  readonly keep?: (object: Live<T>) => Live<T>;
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

export interface WatchOptions extends Omit<ListOptions, 'pageSize' | 'retries'> {
  /** Events after this version. Always sent: without it some servers refuse bookmarks. */
  readonly resourceVersion: string;
  /** The server ends the watch after this long, in seconds. @default 300 */
  readonly timeoutSeconds?: number;
  /** How long the client waits beyond `timeoutSeconds` before it gives the connection up, in ms. @default 30_000 */
  readonly graceMs?: number;
  /** Called when the server has accepted the watch, before any event. */
  readonly onOpen?: () => void;
}

export interface RawRequest extends CallOptions {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path with query, for example `/version` or `/api/v1/namespaces/a/pods/b:9090/proxy/metrics`. */
  readonly path: string;
  readonly contentType?: string;
  /** Sent as JSON unless it is a string. */
  readonly body?: unknown;
  /** Of an answer that is longer no more is read, and the call fails: what a pod behind the proxy says is its own. @default no limit */
  readonly maxBytes?: number;
}

const defaults = { deadlineMs: 30_000, retries: 5, pageSize: 100, watchSeconds: 300, graceMs: 30_000 };

/**
 * The API server over one shared pool of connections: JSON in, JSON out, nothing dropped, a deadline on every call.
 * Errors: {@link ApiError} (the server refused), {@link ConnectionError}, {@link DeadlineError}, {@link ResponseError},
 * {@link ConfigError} (credentials); an aborted `signal` rejects with its reason.
 */
export class KubeClient implements AsyncDisposable {
  readonly fieldManager: string;
  readonly #options: ClientOptions;
  readonly #transport: Transport;
  readonly #caller: Caller;

  private constructor(transport: Transport, options: ClientOptions) {
    this.fieldManager = options.fieldManager;
    this.#options = options;
    this.#transport = transport;
    this.#caller = new Caller(transport, options.logger ?? silentLogger, options.metrics);
  }

  /** Uses the current context of `config` for addresses and credentials (token files and exec plugins are read again when due). */
  static fromConfig(config: KubeConfig, options: ClientOptions): KubeClient {
    return KubeClient.fromCredentials(new KubeConfigCredentials(config), options);
  }

  /** For example with {@link serviceAccountCredentials}. */
  static fromCredentials(credentials: CredentialSource, options: ClientOptions): KubeClient {
    return new KubeClient(new Transport(credentials, options.userAgent ?? options.fieldManager), options);
  }

  /** Who `applyStatus` acts as by default. */
  get statusManager(): string {
    return `${this.fieldManager}-status`;
  }

  /** Address of the API server, for messages. */
  get server(): string {
    return this.#transport.server;
  }

  get<T extends KubeObject>(type: ResourceType<T>, key: ObjectKey, options: CallOptions = {}): Promise<Live<T>> {
    return this.#object<T>({ verb: 'get', type, method: 'GET', path: resourcePath(type, key), idempotent: true }, options);
  }

  /** Like `get`, with `undefined` for an object that is not there. */
  async find<T extends KubeObject>(type: ResourceType<T>, key: ObjectKey, options?: CallOptions): Promise<Live<T> | undefined> {
    try {
      return await this.get(type, key, options);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** All objects, page by page. A page that expires midway (410) makes it start again in one piece. */
  async list<T extends KubeObject>(type: ResourceType<T>, options: ListOptions & KeepOptions<T> = {}): Promise<ObjectList<T>> {
    const { keep = (object: Live<T>) => object } = options;
    return this.#whole(async (pageSize) => {
      const items: Live<T>[] = [];
      const resourceVersion = await this.#pages<T>(type, options, pageSize, (item) => items.push(keep(item)));
      return { items, resourceVersion };
    }, options);
  }

  /** The resourceVersion of every object, by {@link keyString}; the server sends nothing but metadata. */
  versions(type: ResourceType, options: ListOptions = {}): Promise<ReadonlyMap<string, string>> {
    return this.#whole(async (pageSize) => {
      const versions = new Map<string, string>();
      const headers = { accept: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json' };
      await this.#pages(type, options, pageSize, (item) => versions.set(keyString(keyOf(item)), item.metadata.resourceVersion), headers);
      return versions;
    }, options);
  }

  create<T extends KubeObject>(type: ResourceType<T>, object: Manifest, options: WriteOptions = {}): Promise<Live<T>> {
    const { namespace } = object.metadata;
    const path = resourcePath(type, { namespace }) + this.#writeQuery(options);
    return this.#object<T>({ verb: 'create', type, method: 'POST', path, idempotent: false, send: ['application/json', object] }, options);
  }

  /** Writes the whole object; with `metadata.resourceVersion` set it fails with a conflict when the object changed meanwhile. */
  replace<T extends KubeObject>(type: ResourceType<T>, object: Manifest, options: WriteOptions = {}): Promise<Live<T>> {
    const path = resourcePath(type, object.metadata) + this.#writeQuery(options);
    return this.#object<T>({ verb: 'update', type, method: 'PUT', path, idempotent: false, send: ['application/json', object] }, options);
  }

  /** JSON merge patch: `null` deletes a field, lists are replaced. */
  patch<T extends KubeObject>(type: ResourceType<T>, key: ObjectKey, patch: object, options: PatchOptions = {}): Promise<Live<T>> {
    const { subresource } = options;
    const path = resourcePath(type, subresource === undefined ? key : { ...key, subresource }) + this.#writeQuery(options);
    const send: Body = ['application/merge-patch+json', patch];
    return this.#object<T>({ verb: 'patch', type, method: 'PATCH', path, idempotent: true, send }, options);
  }

  /** Server-side apply: creates the object, or makes the fields given here ours and removes those we gave earlier and no longer do. */
  apply<T extends KubeObject>(type: ResourceType<T>, desired: Manifest, options: ApplyOptions = {}): Promise<Live<T>> {
    return this.#apply(type, resourcePath(type, desired.metadata), desired, options);
  }

  /** Server-side apply of the status subresource; sends only apiVersion, kind, name, namespace, `status`, and the version where it is given. */
  applyStatus<T extends KubeObject>(
    type: ResourceType<T>,
    key: ObjectKey,
    status: object,
    options: ApplyStatusOptions = {},
  ): Promise<Live<T>> {
    const { namespace, name } = key;
    const { resourceVersion } = options;
    const metadata = { namespace, name, ...(resourceVersion !== undefined && { resourceVersion }) };
    const body = { apiVersion: apiVersionOf(type), kind: type.kind, metadata, status };
    const path = resourcePath(type, { ...key, subresource: 'status' });
    return this.#apply(type, path, body, { ...options, fieldManager: options.fieldManager ?? this.statusManager });
  }

  /** Resolves to whether there was an object to delete; a missing one is no error. */
  async delete(type: ResourceType, key: ObjectKey, options: DeleteOptions = {}): Promise<boolean> {
    const { uid, resourceVersion, propagation = 'Background', gracePeriodSeconds } = options;
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy: propagation,
      gracePeriodSeconds,
      preconditions: uid === undefined && resourceVersion === undefined ? undefined : { uid, resourceVersion },
    };
    const send: Body = ['application/json', body];
    try {
      await this.#text({ verb: 'delete', type, method: 'DELETE', path: resourcePath(type, key), idempotent: true, send }, options);
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  /** One watch, from open to close; ends when the server ends it. See {@link Informer} for one that goes on for ever. */
  async *watch<T extends KubeObject>(type: ResourceType<T>, options: WatchOptions): AsyncGenerator<WatchEvent<T>, void, undefined> {
    const { namespace, labelSelector, fieldSelector, resourceVersion, timeoutSeconds = defaults.watchSeconds } = options;
    const query = queryOf({ watch: true, allowWatchBookmarks: true, resourceVersion, timeoutSeconds, labelSelector, fieldSelector });
    const call = this.#call(
      { verb: 'watch', type, method: 'GET', path: resourcePath(type, { namespace }) + query, idempotent: true },
      { ...options, retries: 0 },
    );
    using deadline = new Deadline(labelOf(call), call.deadlineMs, options.signal);
    try {
      const answer = await this.#caller.open(call, deadline);
      deadline.extend(timeoutSeconds * 1000 + (options.graceMs ?? defaults.graceMs));
      options.onOpen?.();
      for await (const line of lines(answer.body)) {
        const event = parseWatchEvent<T>(line, labelOf(call));
        if (event) yield event;
      }
    } catch (error) {
      deadline.signal.throwIfAborted();
      throw error instanceof KubeError ? error : new ConnectionError(labelOf(call), error);
    } finally {
      deadline.abort();
    }
  }

  /** Any other path: pod proxy, pod logs, `/version`. Resolves to the body as text; JSON is the caller's to parse. */
  raw(request: RawRequest): Promise<string> {
    const { method = 'GET', path, body, contentType = 'application/json', maxBytes } = request;
    const send: Body | undefined = body === undefined ? undefined : [contentType, body];
    const idempotent = method !== 'POST' && method !== 'PATCH';
    return this.#text(
      { verb: method.toLowerCase(), method, path, idempotent, ...(send && { send }), ...(maxBytes && { maxBytes }) },
      request,
    );
  }

  /** Closes all connections; calls under way are rejected. */
  close(): Promise<void> {
    return this.#transport.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** In pages, and once more in one piece where a page expired midway. */
  async #whole<R>(read: (pageSize: number) => Promise<R>, { pageSize = defaults.pageSize }: ListOptions): Promise<R> {
    try {
      return await read(pageSize);
    } catch (error) {
      if (!isGone(error)) throw error;
      return read(0);
    }
  }

  /** Resolves to the list's resourceVersion. */
  async #pages<T extends KubeObject>(
    type: ResourceType,
    options: ListOptions,
    pageSize: number,
    take: (item: Live<T>) => void,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    const { namespace, labelSelector, fieldSelector } = options;
    const head = { apiVersion: apiVersionOf(type), kind: type.kind };
    for (let next: string | undefined; ;) {
      const query = queryOf({ limit: pageSize || undefined, continue: next, labelSelector, fieldSelector });
      const path = resourcePath(type, { namespace }) + query;
      const page = parsed(
        await this.#text({ verb: 'list', type, method: 'GET', path, idempotent: true, headers }, options),
        path,
      ) as Page<T>;
      if (!page.metadata?.resourceVersion) throw new ResponseError(`GET ${path}: the list has no metadata.resourceVersion`);
      for (const item of page.items ?? []) take({ ...head, ...item });
      if (!page.metadata.continue) return page.metadata.resourceVersion;
      next = page.metadata.continue;
    }
  }

  #apply<T extends KubeObject>(type: ResourceType<T>, resource: string, body: object, options: ApplyOptions): Promise<Live<T>> {
    const path = resource + this.#writeQuery(options, options.force ?? true);
    const send: Body = ['application/apply-patch+yaml', body];
    return this.#object<T>({ verb: 'patch', type, method: 'PATCH', path, idempotent: true, send }, options);
  }

  #writeQuery({ fieldManager = this.fieldManager, dryRun }: WriteOptions, force?: boolean): string {
    return queryOf({ fieldManager, force, dryRun: dryRun ? 'All' : undefined });
  }

  async #object<T extends KubeObject>(request: Request, options: CallOptions): Promise<Live<T>> {
    return parsed(await this.#text(request, options), request.path) as Live<T>;
  }

  #text(request: Request, options: CallOptions): Promise<string> {
    return this.#caller.text(this.#call(request, options));
  }

  #call({ verb, type, method, path, idempotent, send, headers, maxBytes }: Request, options: CallOptions): Call {
    return {
      verb,
      resource: type ? resourceName(type) : 'raw',
      method,
      path,
      idempotent,
      headers: { ...headers, ...(send && { 'content-type': send[0] }) },
      body: send && (typeof send[1] === 'string' ? send[1] : JSON.stringify(send[1])),
      deadlineMs: options.deadlineMs ?? this.#options.deadlineMs ?? defaults.deadlineMs,
      retries: options.retries ?? this.#options.retries ?? defaults.retries,
      signal: options.signal,
      maxBytes,
    };
  }
}

type Body = readonly [contentType: string, content: unknown];

interface Request {
  readonly verb: string;
  readonly type?: ResourceType;
  readonly method: Call['method'];
  readonly path: string;
  readonly idempotent: boolean;
  readonly send?: Body;
  readonly headers?: Readonly<Record<string, string>>;
  readonly maxBytes?: number;
}

interface Page<T extends KubeObject> {
  readonly items?: readonly Live<T>[] | null;
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

function queryOf(parameters: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, String(value));
  return query.size > 0 ? `?${query.toString()}` : '';
}

function parsed(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ResponseError(`${path}: the answer is not JSON: ${text.slice(0, 80)}`, { cause: error });
  }
}
