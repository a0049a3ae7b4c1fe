import { isObject } from './json.ts';
import type { Json, JsonObject } from './json.ts';

/** A pod overlay that cannot be merged: `path` says where, the message what to write instead. */
export class OverlayError extends Error {
  readonly code = 'OVERLAY_INVALID';
  readonly path: string;

  constructor(path: string, fix: string) {
    super(`${path}: ${fix}`);
    this.name = 'OverlayError';
    this.path = path;
  }
}

interface MergedList {
  /** Elements with an equal value of this key are the same element. */
  readonly key: string;
  /** An overlay element replaces what it does not name: a volume has one source, a variable one value. */
  readonly retainKeys?: true;
  /** New elements go before the rendered ones: a user's init containers prepare what the engine reads. */
  readonly prepend?: true;
}

/** The lists of a PodSpec that Kubernetes merges by key (its `patchMergeKey` tags); every other list is replaced. */
const mergedLists: ReadonlyMap<string, MergedList> = new Map([
  ['containers', { key: 'name' }],
  ['initContainers', { key: 'name', prepend: true }],
  ['volumes', { key: 'name', retainKeys: true }],
  ['imagePullSecrets', { key: 'name' }],
  ['hostAliases', { key: 'ip' }],
  ['topologySpreadConstraints', { key: 'topologyKey' }],
  ['resourceClaims', { key: 'name', retainKeys: true }],
  ['schedulingGates', { key: 'name' }],
  ['*.env', { key: 'name', retainKeys: true }],
  ['*.ports', { key: 'containerPort' }],
  ['*.volumeMounts', { key: 'mountPath' }],
  ['*.volumeDevices', { key: 'devicePath' }],
]);
const containerLists = new Set(['containers', 'initContainers']);

/**
 * Merges a partial PodSpec over a rendered one, as `kubectl patch --type=strategic` would: maps deeply, the lists above by key, other
 * lists and scalars replaced. null removes a field, but a plain `kubectl apply` drops nulls on its way; so `$patch: delete` removes a map
 * or a list element, and `$patch: replace` takes a map as it is. Neither argument is changed. `path` is the field the overlay came from, for messages. Throws {@link OverlayError}.
 */
export function mergePodSpec(rendered: JsonObject, overlay: JsonObject, path: string): JsonObject {
  return mergeMap(rendered, overlay, '', path);
}

/** `place` is the dotted name of the field within the PodSpec, with `*` for a container of either list. */
function mergeMap(base: JsonObject, overlay: JsonObject, place: string, path: string): JsonObject {
  const { $patch: directive, ...patch } = overlay;
  if (directive === 'replace') return patch;
  if (directive !== undefined) throw new OverlayError(`${path}.$patch`, 'must be replace or delete in a map, and delete in a list element');
  const merged = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(patch)) {
    const fieldPath = `${path}.${key}`;
    const fieldPlace = place === '' ? key : `${place}.${key}`;
    const before = merged.get(key);
    const list = mergedLists.get(fieldPlace);
    if (value === null || (isObject(value) && value.$patch === 'delete')) merged.delete(key);
    else if (list) merged.set(key, mergeList(before, value, list, containerLists.has(fieldPlace) ? '*' : fieldPlace, fieldPath));
    else if (isObject(value)) merged.set(key, mergeMap(isObject(before) ? before : {}, value, fieldPlace, fieldPath));
    else merged.set(key, value);
  }
  return Object.fromEntries(merged);
}

function mergeList(base: Json | undefined, overlay: Json, list: MergedList, place: string, path: string): Json {
  if (!Array.isArray(overlay)) throw new OverlayError(path, `must be a list whose elements have "${list.key}"`);
  const merged = new Map<Json, Json>();
  for (const each of Array.isArray(base) ? (base as readonly Json[]) : [])
    merged.set(isObject(each) ? (each[list.key] ?? null) : each, each);
  const added: Json[] = [];
  for (const [index, element] of (overlay as readonly Json[]).entries()) {
    const elementPath = `${path}[${index}]`;
    const key = isObject(element) ? element[list.key] : undefined;
    if (!isObject(element) || key === undefined || key === null) {
      throw new OverlayError(elementPath, `needs "${list.key}", by which it is merged with what the operator renders`);
    }
    const before = merged.get(key);
    if (element.$patch === 'delete') merged.delete(key);
    else if (!isObject(before)) added.push(mergeMap({}, element, place, elementPath));
    else merged.set(key, mergeMap(list.retainKeys ? only(before, Object.keys(element)) : before, element, place, elementPath));
  }
  return list.prepend ? [...added, ...merged.values()] : [...merged.values(), ...added];
}

function only(object: JsonObject, keys: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => keys.includes(key)));
}
