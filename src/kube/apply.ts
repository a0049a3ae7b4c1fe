import type { KubeClient } from './client.ts';
import type { KubeObject, Live, Manifest } from './object.ts';
import type { ResourceType } from './resource-type.ts';

/**
 * Whether an apply of `desired` by `fieldManager` would change nothing: every field of `desired` has its value in `live` and belongs to the manager,
 * and the manager owns nothing else. Ownership comes from `live.metadata.managedFields`, so that it needs no annotation, knows how the server
 * merges each list, notices fields that `desired` no longer has, and ignores what others (defaults, autoscalers, injectors) added.
 * Quantities are compared by value. When in doubt it says false, which costs one PATCH that changes nothing.
 */
export declare function contained(desired: Manifest, live: Live, fieldManager: string): boolean;

export interface Applied<T extends KubeObject> {
  readonly object: Live<T>;
  /** `created`, `changed`, or `unchanged` (no request was sent, or the server changed nothing). */
  readonly outcome: 'created' | 'changed' | 'unchanged';
}

/** Applies `desired` unless `live` (from an informer; undefined when it is not there) already contains it. */
export declare function ensureApplied<T extends KubeObject>(
  client: KubeClient,
  type: ResourceType<T>,
  desired: Manifest,
  live: Live<T> | undefined,
  options?: { readonly signal?: AbortSignal },
): Promise<Applied<T>>;

/** Applies `status` unless it is in `live` already; resolves to whether a request was sent. */
export declare function ensureStatus<T extends KubeObject>(
  client: KubeClient,
  type: ResourceType<T>,
  status: object,
  live: Live<T>,
  options?: { readonly signal?: AbortSignal },
): Promise<boolean>;
