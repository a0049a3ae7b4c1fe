import { isDeepStrictEqual } from 'node:util';
import type { KubeObject, Live } from './object.ts';

/** Ignores writes that touch nothing but status: generation, labels, annotations, finalizers, owners and the deletion time are the same. */
export function beyondStatus(before: Live, after: Live): boolean {
  const told = ({ metadata }: Live): unknown => [
    metadata.generation,
    metadata.labels ?? {},
    metadata.annotations ?? {},
    metadata.finalizers ?? [],
    metadata.ownerReferences ?? [],
    metadata.deletionTimestamp,
  ];
  return !isDeepStrictEqual(told(before), told(after));
}

/** Ignores repeated states: a relist or resync brings the same resourceVersion again. */
export function anyChange<T extends KubeObject>(before: Live<T>, after: Live<T>): boolean {
  return before.metadata.resourceVersion !== after.metadata.resourceVersion;
}
