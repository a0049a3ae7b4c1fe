import { labelKeys } from '../api/names.ts';
import { routerKind } from '../api/r2rrouter.ts';
import { controllerOf, ensureApplied, isConflict, persistentVolumeClaims } from '../kube/index.ts';
import type { KubeClient, Live, Manifest } from '../kube/index.ts';
import { assertControlled, refusalOf, renaming } from './refusals.ts';
import { informerOf } from './caches.ts';
import type { Caches } from './caches.ts';

interface Access {
  readonly client: KubeClient;
  readonly caches: Caches;
}

/**
 * Makes an object once: one that is there already, and is the owner's, stays as it is.
 *
 * @returns whether it was made now
 * @throws ChildRefusedError, ChildInTheWayError, KubeError
 */
export async function makeOnce(access: Access, owner: Live, manifest: Manifest, signal: AbortSignal): Promise<boolean> {
  const informer = informerOf(access.caches, manifest);
  const key = { namespace: owner.metadata.namespace, name: manifest.metadata.name };
  const cached = informer.get(key);
  if (cached) {
    assertOurs(owner, cached);
    return false;
  }
  try {
    await access.client.create(informer.type, manifest, { signal });
    return true;
  } catch (error) {
    if (!isConflict(error)) throw refusalOf(error, manifest.kind, key.name);
    // The cache may be a moment behind, or it is somebody else's, which the cache does not hold.
    const found = await access.client.find(informer.type, key, { signal });
    if (found) assertOurs(owner, found);
    return false;
  }
}

/** Makes an object and keeps it as it should be. @throws as {@link makeOnce} */
export async function keep(access: Access, owner: Live, manifest: Manifest, signal: AbortSignal): Promise<void> {
  const informer = informerOf(access.caches, manifest);
  const { name } = manifest.metadata;
  const cached = informer.get({ namespace: owner.metadata.namespace, name });
  if (!cached) {
    await makeOnce(access, owner, manifest, signal);
    return;
  }
  assertOurs(owner, cached);
  try {
    await ensureApplied(access.client, informer.type, manifest, cached, { signal });
  } catch (error) {
    throw refusalOf(error, manifest.kind, name);
  }
}

/** Changes an object that is there. @throws as {@link makeOnce} */
export async function amend(access: Access, live: Live, patch: object, signal: AbortSignal): Promise<void> {
  const { namespace, name } = live.metadata;
  try {
    await access.client.patch(informerOf(access.caches, live).type, { namespace, name }, patch, { signal });
  } catch (error) {
    throw refusalOf(error, live.kind, name);
  }
}

/** A claim is kept when its owner is deleted, and belongs to the next one of that name: it has our label and no controller. */
function assertOurs(owner: Live, live: Live): void {
  if (!controllerOf(live) && live.metadata.labels?.[labelKeys.instance] === owner.metadata.name) return;
  const isClaim = live.kind === persistentVolumeClaims.kind;
  const field = owner.kind === routerKind ? 'storage.workspace.claim' : 'modelCache.claim';
  assertControlled(owner, live.kind, live, isClaim ? `name it in ${field} to use it` : renaming(owner));
}
