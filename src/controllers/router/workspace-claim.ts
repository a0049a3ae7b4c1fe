import { routerOwnerReference } from '../../api/r2rrouter.ts';
import type { R2RRouter } from '../../api/r2rrouter.ts';
import type { Live } from '../../kube/index.ts';
import { quantityValue } from '../../kube/quantity.ts';
import type { PersistentVolumeClaim } from '../../kube/resources.ts';

/** What is to be patched on the workspace's claim, which was made for an earlier spec; undefined: nothing. A claim never shrinks. Pure. */
export function claimChange({ metadata, spec }: Live<PersistentVolumeClaim>, router: R2RRouter): object | undefined {
  const { size, onDelete } = router.spec.storage.workspace;
  const own = routerOwnerReference(router);
  const owners = metadata.ownerReferences ?? [];
  const others = owners.filter(({ uid }) => uid !== own.uid);
  const isOwned = others.length < owners.length;
  const wantsOwner = onDelete === 'Delete';
  const storage = spec?.resources?.requests?.storage;
  const grows = (quantityValue(size) ?? 0) > (quantityValue(storage) ?? Infinity);
  if (isOwned === wantsOwner && !grows) return undefined;
  return {
    ...(isOwned !== wantsOwner && {
      metadata: { ownerReferences: wantsOwner ? [...others, { ...own }] : others.length > 0 ? others : null },
    }),
    ...(grows && { spec: { resources: { requests: { storage: size } } } }),
  };
}
