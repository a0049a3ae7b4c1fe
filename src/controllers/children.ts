import { labelKeys } from '../api/names.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { ensureApplied } from '../kube/index.ts';
import type { KubeClient, Live, Manifest, ResourceType } from '../kube/index.ts';
import { leaderWorkerSetKind } from '../manifests/index.ts';
import { childrenOf, informerOf } from './caches.ts';
import type { Caches } from './caches.ts';
import { assertControlled, refusalOf, renaming } from './refusals.ts';

export interface AppliedChild {
  readonly object: Live;
  readonly outcome: 'created' | 'changed' | 'unchanged';
}

/**
 * Applies one child, unless the cached object contains it already.
 *
 * @throws ChildRefusedError (4xx that a retry cannot mend, or a name that belongs to somebody else), ChildInTheWayError, KubeError
 */
export async function applyChild(
  { client, caches }: { readonly client: KubeClient; readonly caches: Caches },
  owner: Live<R2RDeployment>,
  desired: Manifest,
  signal: AbortSignal,
): Promise<AppliedChild> {
  const informer = informerOf(caches, desired);
  const key = { namespace: owner.metadata.namespace, name: desired.metadata.name };
  const cached = informer.get(key);
  // the one name without a revision in it may be taken by somebody else's object, which carries no label of ours and so is not in the cache
  const live = cached ?? (key.name === owner.metadata.name ? await client.find(informer.type, key, { signal }) : undefined);
  if (live) assertControlled(owner, informer.type.kind, live, renaming(owner));
  try {
    const applied = await ensureApplied(client, informer.type, desired, live, { signal });
    if (applied.outcome !== 'unchanged') informer.wrote(applied.object);
    return applied;
  } catch (error) {
    throw refusalOf(error, desired.kind, key.name);
  }
}

/** Takes children of one revision down, Deployments last: by them a retirement that was broken off is noticed. Resolves to how many were asked to go. */
export async function retireRevision(
  { client, caches }: { readonly client: KubeClient; readonly caches: Caches },
  owner: Live<R2RDeployment>,
  revision: string,
  isWanted: (child: { readonly type: ResourceType; readonly object: Live }) => boolean,
  signal: AbortSignal,
): Promise<number> {
  const doomed = childrenOf(caches, owner.metadata.uid)
    .filter(
      (child) =>
        child.object.metadata.labels?.[labelKeys.revision] === revision && !child.object.metadata.deletionTimestamp && isWanted(child),
    )
    .sort((a, b) => Number(makesPods(a)) - Number(makesPods(b)));
  for (const { type, object } of doomed) {
    const { namespace, name, uid } = object.metadata;
    await client.delete(type, { namespace, name }, { uid, signal });
  }
  return doomed.length;
}

function makesPods({ type }: { readonly type: ResourceType }): boolean {
  return type.kind === 'Deployment' || type.kind === leaderWorkerSetKind;
}
