import type { OwnerReference } from '../api/object-meta.ts';
import type { Live } from '../kube/index.ts';
import { quantityValue } from '../kube/quantity.ts';
import type { PersistentVolumeClaim } from '../kube/resources.ts';

/** What a spec says of a claim that is made for it. */
export interface KeptClaim {
  readonly size: string;
  readonly onDelete: 'Retain' | 'Delete';
  /** The resource that it goes with, if it does. */
  readonly owner: OwnerReference;
}

/** What is to be patched on a claim that was made for an earlier spec; undefined: nothing. A claim never shrinks. Pure. */
export function keptClaimChange(
  { metadata, spec, status }: Live<PersistentVolumeClaim>,
  { size, onDelete, owner }: KeptClaim,
): object | undefined {
  const owners = metadata.ownerReferences ?? [];
  const others = owners.filter(({ uid }) => uid !== owner.uid);
  const isOwned = others.length < owners.length;
  const wantsOwner = onDelete === 'Delete';
  const storage = spec?.resources?.requests?.storage;
  // The API server lets a claim grow once it has a volume.
  const grows = status?.phase !== 'Pending' && (quantityValue(size) ?? 0) > (quantityValue(storage) ?? Infinity);
  if (isOwned === wantsOwner && !grows) return undefined;
  return {
    ...(isOwned !== wantsOwner && {
      metadata: { ownerReferences: wantsOwner ? [...others, { ...owner }] : others.length > 0 ? others : null },
    }),
    ...(grows && { spec: { resources: { requests: { storage: size } } } }),
  };
}
