import { reasons } from '../../api/conditions.ts';
import { routerReasons } from '../../api/r2rrouter-status.ts';
import type { R2RRouter } from '../../api/r2rrouter.ts';
import { ApiError, controllerOf, ensureApplied, isConflict, messageOf } from '../../kube/index.ts';
import type { KubeClient, Live, Manifest } from '../../kube/index.ts';
import type { Problem } from '../pod-problem.ts';
import { informerOf } from './caches.ts';
import type { RouterCaches } from './caches.ts';

/** The API server refuses something a router needs for good, or its name is taken: retrying cannot help before something changes. */
export class RouterObjectRefusedError extends Error {
  readonly code = 'R2R_ROUTER_OBJECT_REFUSED';
  readonly problem: Problem;
  constructor(problem: Problem, options?: ErrorOptions) {
    super(problem.message, options);
    this.problem = problem;
  }
}

/** Something of a deleted namesake is still being garbage-collected. */
export class RouterObjectInTheWayError extends Error {
  readonly code = 'R2R_ROUTER_OBJECT_IN_THE_WAY';
}

interface Access {
  readonly client: KubeClient;
  readonly caches: RouterCaches;
}

/**
 * Makes an object once: one that is there already, and is this router's, stays as it is.
 *
 * @returns whether it was made now
 * @throws RouterObjectRefusedError, RouterObjectInTheWayError, KubeError
 */
export async function makeOnce(access: Access, owner: Live<R2RRouter>, manifest: Manifest, signal: AbortSignal): Promise<boolean> {
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
    if (!isConflict(error)) throw refusal(error, manifest);
    // The cache may be a moment behind, or it is somebody else's, which the cache does not hold.
    const found = await access.client.find(informer.type, key, { signal });
    if (found) assertOurs(owner, found);
    return false;
  }
}

/** Makes an object and keeps it as it should be. @throws as {@link makeOnce} */
export async function keep(access: Access, owner: Live<R2RRouter>, manifest: Manifest, signal: AbortSignal): Promise<void> {
  const informer = informerOf(access.caches, manifest);
  const cached = informer.get({ namespace: owner.metadata.namespace, name: manifest.metadata.name });
  if (!cached) {
    await makeOnce(access, owner, manifest, signal);
    return;
  }
  assertOurs(owner, cached);
  try {
    await ensureApplied(access.client, informer.type, manifest, cached, { signal });
  } catch (error) {
    throw refusal(error, manifest);
  }
}

/** Changes an object that is there. @throws as {@link makeOnce} */
export async function amend(access: Access, live: Live, patch: object, signal: AbortSignal): Promise<void> {
  const { namespace, name } = live.metadata;
  try {
    await access.client.patch(informerOf(access.caches, live).type, { namespace, name }, patch, { signal });
  } catch (error) {
    throw refusal(error, { apiVersion: live.apiVersion, kind: live.kind, metadata: { name } });
  }
}

/** What cannot be mended by trying again, as what a condition says; other errors as they are. */
function refusal(error: unknown, { kind, metadata }: Manifest): unknown {
  if (!(error instanceof ApiError) || ![400, 403, 422].includes(error.status)) return error;
  return new RouterObjectRefusedError(
    { reason: routerReasons.applyFailed, message: `${kind} ${metadata.name}: ${messageOf(error)}` },
    { cause: error },
  );
}

/** A claim is kept when its router is deleted, and belongs to the next one of that name: it has our label and no controller. */
function assertOurs(owner: Live<R2RRouter>, live: Live): void {
  const controller = controllerOf(live);
  if (controller ? controller.uid === owner.metadata.uid : live.metadata.labels?.['app.kubernetes.io/instance'] === owner.metadata.name)
    return;
  const name = `${live.kind} ${live.metadata.name}`;
  if (controller?.kind === owner.kind && controller.name === owner.metadata.name) {
    throw new RouterObjectInTheWayError(`${name} belongs to a deleted ${owner.kind} of the same name and is still being removed`);
  }
  const fix =
    live.kind === 'PersistentVolumeClaim'
      ? 'name it in storage.workspace.claim to use it'
      : `delete or rename it, or give the ${owner.kind} another name`;
  throw new RouterObjectRefusedError({
    reason: reasons.nameTaken,
    message: `${name} exists and is not managed by this ${owner.kind}; ${fix}`,
  });
}
