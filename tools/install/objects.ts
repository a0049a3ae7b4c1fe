import { App } from 'cdk8s';
import type { InstallationOptions } from '../../install/installation.ts';
import { Installation } from '../../install/installation.ts';

/** An object of the installation, as cdk8s renders it. */
export interface InstalledObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly [field: string]: unknown;
}

export function installedObjects(options: InstallationOptions): readonly InstalledObject[] {
  return new Installation(new App(), 'install', options).toJson() as InstalledObject[];
}

/** The installation in the files that the chart and the kustomize base are made of. */
export interface InstalledParts<Item> {
  readonly namespace: readonly Item[];
  readonly crds: readonly Item[];
  /** What the operator may do. */
  readonly access: readonly Item[];
  /** What people may do who may view or edit a namespace. */
  readonly 'user-roles': readonly Item[];
  readonly operator: readonly Item[];
}

const accessKinds = new Set(['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding']);

export function parts(objects: readonly InstalledObject[]): InstalledParts<InstalledObject> {
  const isUserRole = ({ kind, metadata }: InstalledObject) => kind === 'ClusterRole' && /^r2r-(view|edit)$/.test(metadata.name);
  const isNamespace = ({ kind }: InstalledObject) => kind === 'Namespace';
  const isCrd = ({ kind }: InstalledObject) => kind === 'CustomResourceDefinition';
  const isAccess = (each: InstalledObject) => accessKinds.has(each.kind) && !isUserRole(each);
  return {
    namespace: objects.filter(isNamespace),
    crds: objects.filter(isCrd),
    access: objects.filter(isAccess),
    'user-roles': objects.filter(isUserRole),
    operator: objects.filter((each) => ![isNamespace, isCrd, isAccess, isUserRole].some((is) => is(each))),
  };
}
