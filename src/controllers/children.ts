import { reasons } from '../api/conditions.ts';
import { labelKeys } from '../api/names.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { ApiError, controllerOf, ensureApplied, messageOf } from '../kube/index.ts';
import type { KubeClient, Live, Manifest, ResourceType } from '../kube/index.ts';
import { childrenOf } from './caches.ts';
import type { Caches } from './caches.ts';
import type { Problem } from './pod-problem.ts';

/** The API server refuses a child for good: retrying cannot help before the spec or the cluster changes. */
export class ChildRefusedError extends Error {
  readonly code = 'R2R_CHILD_REFUSED';
  readonly problem: Problem;
  constructor(problem: Problem, options?: ErrorOptions) {
    super(problem.message, options);
    this.problem = problem;
  }
}

/** A child of a deleted namesake is still being garbage-collected. */
export class ChildInTheWayError extends Error {
  readonly code = 'R2R_CHILD_IN_THE_WAY';
}

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
  const informer = caches.children.get(`${desired.apiVersion}/${desired.kind}`);
  if (!informer) throw new TypeError(`no cache for ${desired.apiVersion} ${desired.kind}`);
  const key = { namespace: owner.metadata.namespace, name: desired.metadata.name };
  const cached = informer.get(key);
  // the one name without a revision in it may be taken by somebody else's object, which carries no label of ours and so is not in the cache
  const live = cached ?? (key.name === owner.metadata.name ? await client.find(informer.type, key, { signal }) : undefined);
  if (live) assertOurs(owner, informer.type, live);
  try {
    return await ensureApplied(client, informer.type, desired, live, { signal });
  } catch (error) {
    if (!(error instanceof ApiError) || !isFinal(error)) throw error;
    throw new ChildRefusedError(
      { reason: reasons.applyFailed, message: `${desired.kind} ${key.name}: ${messageOf(error)}` },
      { cause: error },
    );
  }
}

/** Takes children of one revision down; with `onlyRouters` the SLM Deployment alone. Resolves to how many were asked to go. */
export async function retireRevision(
  { client, caches }: { readonly client: KubeClient; readonly caches: Caches },
  owner: Live<R2RDeployment>,
  revision: string,
  isWanted: (child: { readonly type: ResourceType; readonly object: Live }) => boolean,
  signal: AbortSignal,
): Promise<number> {
  const doomed = childrenOf(caches, owner.metadata.uid).filter(
    (child) =>
      child.object.metadata.labels?.[labelKeys.revision] === revision && !child.object.metadata.deletionTimestamp && isWanted(child),
  );
  for (const { type, object } of doomed) {
    const { namespace, name, uid } = object.metadata;
    await client.delete(type, { namespace, name }, { uid, signal });
  }
  return doomed.length;
}

function assertOurs(owner: Live<R2RDeployment>, type: ResourceType, live: Live): void {
  const controller = controllerOf(live);
  if (controller?.uid === owner.metadata.uid) return;
  const name = `${type.kind} ${live.metadata.name}`;
  if (controller?.kind === owner.kind && controller.name === owner.metadata.name) {
    throw new ChildInTheWayError(`${name} belongs to a deleted ${owner.kind} of the same name and is still being removed`);
  }
  throw new ChildRefusedError({
    reason: reasons.nameTaken,
    message: `${name} exists and is not managed by this ${owner.kind}; delete or rename it, or give the ${owner.kind} another name`,
  });
}

/** Refusals that only a change of the spec or of the cluster's rules can mend. Conflicts and time-outs pass. */
function isFinal({ status, message }: ApiError): boolean {
  // server-side apply answers a field of the wrong type with 500
  return status === 400 || status === 403 || status === 422 || (status === 500 && message.includes('typed patch object'));
}
