import type { KubeObject, ObjectKey } from './object.ts';

/**
 * How a kind is addressed in the API. `T` is the type of its objects; it exists for the compiler only.
 * @example const r2rDeployments = resourceType<R2RDeployment>({ group: 'r2r.dev', version: 'v1alpha1', plural: 'r2rdeployments', kind: 'R2RDeployment', namespaced: true });
 */
export interface ResourceType<T extends KubeObject = KubeObject> {
  /** `''` for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Never set: carries `T`. */
  readonly objectType?: () => T;
}

/** Ties a kind's address to the TypeScript type of its objects. */
export function resourceType<T extends KubeObject>(address: Omit<ResourceType, 'objectType'>): ResourceType<T> {
  return Object.freeze({ ...address });
}

/** `v1` or `group/version`. */
export function apiVersionOf({ group, version }: ResourceType): string {
  return group === '' ? version : `${group}/${version}`;
}

/** `plural` or `plural.group`: the name in RBAC, metrics and messages. */
export function resourceName({ group, plural }: ResourceType): string {
  return group === '' ? plural : `${plural}.${group}`;
}

/** URL path of all objects of a kind, of those in one namespace, or of one object (and its subresource). Parts are percent-encoded. */
export function resourcePath(type: ResourceType, where: Partial<ObjectKey> & { readonly subresource?: string } = {}): string {
  const { namespace, name, subresource } = where;
  const parts = type.group === '' ? ['api', type.version] : ['apis', type.group, type.version];
  if (type.namespaced && namespace) parts.push('namespaces', namespace);
  parts.push(type.plural);
  if (name !== undefined) parts.push(name);
  if (subresource !== undefined) parts.push(subresource);
  return `/${parts.map(encodeURIComponent).join('/')}`;
}
