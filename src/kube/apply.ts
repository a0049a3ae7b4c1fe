import type { ApplyStatusOptions, CallOptions, KubeClient } from './client.ts';
import { contained } from './contained.ts';
import type { KubeObject, Live, Manifest } from './object.ts';
import type { ResourceType } from './resource-type.ts';

export interface Applied<T extends KubeObject> {
  readonly object: Live<T>;
  /** `unchanged`: no request was sent, or the server found nothing to change. */
  readonly outcome: 'created' | 'changed' | 'unchanged';
}

/**
 * Applies `desired` with force as the client's field manager, unless `live` (from an informer; undefined when it is not there) already
 * contains it. Errors as {@link KubeClient.apply}.
 */
export async function ensureApplied<T extends KubeObject>(
  client: KubeClient,
  type: ResourceType<T>,
  desired: Manifest,
  live: Live<T> | undefined,
  options?: CallOptions,
): Promise<Applied<T>> {
  if (live && contained(desired, live, client.fieldManager)) return { object: live, outcome: 'unchanged' };
  const object = await client.apply(type, desired, options);
  if (live?.metadata.uid !== object.metadata.uid) return { object, outcome: 'created' };
  return { object, outcome: live.metadata.resourceVersion === object.metadata.resourceVersion ? 'unchanged' : 'changed' };
}

/**
 * Applies `status` as `<fieldManager>-status`, unless `live` contains it. Resolves to what the server answered; undefined when no request was sent.
 *
 * @param options - with `resourceVersion` it fails with a conflict where `live` was not the newest state: for a status that is decided from the
 *   status before
 */
export async function ensureStatus<T extends KubeObject>(
  client: KubeClient,
  type: ResourceType<T>,
  status: object,
  live: Live<T>,
  options?: CallOptions & Pick<ApplyStatusOptions, 'resourceVersion'>,
): Promise<Live<T> | undefined> {
  const { apiVersion, kind } = live;
  const { namespace, name } = live.metadata;
  const desired = { apiVersion, kind, metadata: { namespace, name }, status };
  if (contained(desired, live, client.statusManager, 'status')) return undefined;
  return client.applyStatus(type, { namespace, name }, status, options);
}
