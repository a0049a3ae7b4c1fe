/** Kubernetes objects as the API server writes them in JSON: nothing is parsed into classes, so unknown fields survive and times stay strings. */
import type { V1ObjectMeta } from '@kubernetes/client-node';

/**
 * A client-node model as raw, read-only JSON: dates (also MicroTimes) are RFC 3339 strings, everything is deeply readonly.
 * @example type Pod = Raw<V1Pod>
 */
export type Raw<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? readonly Raw<Item>[]
    : T extends object
      ? { readonly [Field in keyof T]: Raw<T[Field]> }
      : T;

export type ObjectMeta = Raw<V1ObjectMeta>;

/** What every Kubernetes object has at least. */
export interface KubeObject {
  readonly apiVersion?: string | undefined;
  readonly kind?: string | undefined;
  readonly metadata?: ObjectMeta | undefined;
}

/** An object read from the API server: identity and version are there (lists are completed with apiVersion and kind, which the server leaves out). */
export type Live<T extends KubeObject = KubeObject> = T & {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta & { readonly name: string; readonly uid: string; readonly resourceVersion: string };
};

interface ManifestMetadata {
  readonly name: string;
  readonly namespace?: string | undefined;
}

interface ManifestHead {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ManifestMetadata | (ManifestMetadata & { readonly [field: string]: unknown });
}

/** An object to be written, whole or in part; sent to the server as it is. */
export type Manifest = ManifestHead | (ManifestHead & { readonly [field: string]: unknown });

/** Names one object of a known kind; `namespace` is absent for cluster-scoped ones. */
export interface ObjectKey {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** `namespace/name`, or `name` for cluster-scoped objects: the form work queues and caches use. */
export function keyString({ namespace, name }: ObjectKey): string {
  return namespace ? `${namespace}/${name}` : name;
}

/** The inverse of {@link keyString}. */
export function parseKey(key: string): ObjectKey {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** The key of a live object. */
export function keyOf(object: Live): ObjectKey {
  const { namespace, name } = object.metadata;
  return namespace ? { namespace, name } : { name };
}

/**
 * Whether one resourceVersion comes after another. They count up: a promise of Kubernetes since 1.35, and true before of every server that keeps
 * its objects in etcd. What does not look like a number is never newer.
 */
export function isNewerVersion(version: string, than: string): boolean {
  if (!/^\d+$/.test(version) || !/^\d+$/.test(than)) return false;
  return version.length === than.length ? version > than : version.length > than.length;
}
