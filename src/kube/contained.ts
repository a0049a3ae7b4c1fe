import { sameQuantity } from './quantity.ts';
import type { Live, Manifest } from './object.ts';

/**
 * The fields a manager owns, as the server writes them (`fieldsV1`): `f:name` is a field, `k:{...}` the item of a keyed list with these keys,
 * `v:"x"` a member of a set, `.` the thing itself. What has no children is owned whole: a scalar, or an atomic list or map.
 */
export interface FieldSet {
  readonly [path: string]: FieldSet;
}

type Fields = Readonly<Record<string, unknown>>;

/** Part of an object's identity, never in a field set. */
const identity = new Set(['apiVersion', 'kind']);
const metadataIdentity = new Set(['name', 'namespace']);

/** Fields whose members are quantities, and those that are one themselves: the server rewrites `1000m` as `1`. */
const quantityMaps = new Set(['limits', 'requests', 'capacity', 'allocatable', 'hard', 'overhead']);
const quantities = new Set(['sizeLimit', 'divisor']);

/**
 * Whether an apply of `desired` by `fieldManager` would change nothing: every field of `desired` has its value in `live` and belongs to the manager,
 * and the manager owns nothing else. Ownership comes from `live.metadata.managedFields`, so that it needs no annotation, knows how the server
 * merges each list, notices fields that `desired` no longer has, and ignores what others (defaults, autoscalers, injectors) added.
 * Quantities are compared by value. When in doubt it says false, which costs one PATCH that changes nothing: so for a Secret's write-only
 * `stringData` (send `data`), and for objects whose `managedFields` are missing. `subresource` picks the ownership to look at.
 */
export function contained(desired: Manifest, live: Live, fieldManager: string, subresource?: string): boolean {
  const entry = live.metadata.managedFields?.find(
    ({ manager, operation, subresource: part }) => manager === fieldManager && operation === 'Apply' && (part || undefined) === subresource,
  );
  const owned: unknown = entry?.fieldsV1;
  if (!isFields(owned)) return false;
  const wanted: Fields = Object.fromEntries<unknown>(Object.entries(desired).filter(([field]) => !identity.has(field)));
  const metadata = Object.fromEntries<unknown>(Object.entries(desired.metadata).filter(([field]) => !metadataIdentity.has(field)));
  return fieldsContained({ ...wanted, metadata }, { ...live }, { 'f:metadata': {}, ...(owned as FieldSet) }, '');
}

function valueContained(desired: unknown, live: unknown, owned: FieldSet, name: string, parent: string): boolean {
  const wholly = Object.keys(owned).every((path) => path === '.');
  // a zero value that the server left out of its answer is still ours, or we would not own it
  if (live === undefined || live === null) return isZero(desired);
  if (wholly) return same(desired, live, name, parent);
  if (Array.isArray(desired)) return Array.isArray(live) && itemsContained(desired, live, owned, name);
  return isFields(desired) && isFields(live) && fieldsContained(desired, live, owned, name);
}

function fieldsContained(desired: Fields, live: Fields, owned: FieldSet, name: string): boolean {
  for (const [field, value] of Object.entries(desired)) {
    if (value === undefined) continue;
    const part = owned[`f:${field}`];
    if (!part || !valueContained(value, live[field], part, field, name)) {
      // an empty metadata is no field
      if (name === '' && field === 'metadata' && isZero(value)) continue;
      return false;
    }
  }
  return Object.keys(owned).every((path) => !path.startsWith('f:') || desired[path.slice(2)] !== undefined);
}

/** A keyed list or a set: every item ours, every item of ours still wanted; order and others' items do not count. */
function itemsContained(desired: readonly unknown[], live: readonly unknown[], owned: FieldSet, name: string): boolean {
  const claims = Object.entries(owned).filter(([path]) => path !== '.');
  if (claims.length !== desired.length) return false;
  return desired.every((item) => {
    const claim = claims.find(([path]) => matches(item, path));
    if (!claim) return false;
    const [path, part] = claim;
    const twin = live.find((other) => matches(other, path));
    return twin !== undefined && (path.startsWith('v:') || valueContained(item, twin, part, name, name));
  });
}

/** Whether a list item is the one that `k:{...}` or `v:...` names. A key left out was filled with its default. */
function matches(item: unknown, path: string): boolean {
  const value: unknown = JSON.parse(path.slice(2));
  if (path.startsWith('v:')) return item === value;
  return (
    isFields(item) && isFields(value) && Object.entries(value).every(([key, wanted]) => item[key] === undefined || item[key] === wanted)
  );
}

/** For what is owned whole. Objects may have more fields in `live` (defaults); another's edit would have taken the ownership away. */
function same(desired: unknown, live: unknown, name: string, parent: string): boolean {
  if (Array.isArray(desired))
    return Array.isArray(live) && live.length === desired.length && desired.every((item, i) => same(item, live[i], name, name));
  if (isFields(desired))
    return (
      isFields(live) &&
      Object.entries(desired).every(([field, value]) => (live[field] === undefined ? isZero(value) : same(value, live[field], field, name)))
    );
  return desired === live || ((quantities.has(name) || quantityMaps.has(parent)) && sameQuantity(desired, live));
}

function isZero(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (isFields(value)) return Object.values(value).every((part) => part === undefined);
  return value === undefined || value === null || value === false || value === 0 || value === '';
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
