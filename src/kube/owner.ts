import type { V1OwnerReference } from '@kubernetes/client-node';
import type { KubeObject, Live, Raw } from './object.ts';
import { apiVersionOf, type ResourceType } from './resource-type.ts';

export type OwnerReference = Raw<V1OwnerReference>;

/** The reference that makes `owner` the controller of a child: the garbage collector removes the child with it. */
export function controllerReference(owner: Live): OwnerReference {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** The one owner with `controller: true`, if there is one. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata?.ownerReferences?.find(({ controller }) => controller === true);
}

/** Whether a reference names an object of this kind; the version does not count (it changes on upgrades, the kind does not). */
export function refersTo(reference: OwnerReference, type: ResourceType): boolean {
  const group = (apiVersion: string): string => (apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '');
  return reference.kind === type.kind && group(reference.apiVersion) === group(apiVersionOf(type));
}
