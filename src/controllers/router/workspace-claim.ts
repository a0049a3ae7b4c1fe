import { routerOwnerReference } from '../../api/r2rrouter.ts';
import type { R2RRouter } from '../../api/r2rrouter.ts';
import type { Live } from '../../kube/index.ts';
import type { PersistentVolumeClaim } from '../../kube/resources.ts';
import { keptClaimChange } from '../kept-claim.ts';

/** What is to be patched on the workspace's claim; undefined: nothing. Pure. */
export function claimChange(live: Live<PersistentVolumeClaim>, router: R2RRouter): object | undefined {
  const { size, onDelete } = router.spec.storage.workspace;
  return keptClaimChange(live, { size, onDelete, owner: routerOwnerReference(router) });
}
