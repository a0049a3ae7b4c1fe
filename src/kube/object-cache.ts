import { keyOf, keyString, type KubeObject, type Live, type ObjectKey } from './object.ts';

export type Change<T extends KubeObject> =
  | { readonly kind: 'add'; readonly after: Live<T> }
  | { readonly kind: 'update'; readonly before: Live<T>; readonly after: Live<T> }
  | { readonly kind: 'delete'; readonly before: Live<T> };

/** The values under which an object is found. */
export type Index<T extends KubeObject> = (object: Live<T>) => readonly string[];

/** Objects by key and by index; every write says what changed. A namesake with another uid is a delete and an add. */
export class ObjectCache<T extends KubeObject> {
  readonly #objects = new Map<string, Live<T>>();
  readonly #indexes: ReadonlyMap<string, Index<T>>;
  /** Index -> value -> keys. */
  readonly #filed = new Map<string, Map<string, Set<string>>>();

  constructor(indexes: Readonly<Record<string, Index<T>>>) {
    this.#indexes = new Map(Object.entries(indexes));
    for (const name of this.#indexes.keys()) this.#filed.set(name, new Map());
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: ObjectKey): Live<T> | undefined {
    return this.#objects.get(keyString(key));
  }

  list(namespace?: string): Live<T>[] {
    const all = [...this.#objects.values()];
    return namespace === undefined ? all : all.filter(({ metadata }) => metadata.namespace === namespace);
  }

  byIndex(index: string, value: string): Live<T>[] {
    const filed = this.#filed.get(index);
    if (!filed) throw new RangeError(`there is no index "${index}"; there are ${[...this.#filed.keys()].join(', ')}`);
    return [...(filed.get(value) ?? [])].flatMap((key) => this.#objects.get(key) ?? []);
  }

  put(object: Live<T>): Change<T>[] {
    const key = keyString(keyOf(object));
    const before = this.#objects.get(key);
    if (before?.metadata.uid === object.metadata.uid && before.metadata.resourceVersion === object.metadata.resourceVersion) return [];
    if (before) this.#unfile(key, before);
    this.#objects.set(key, object);
    this.#file(key, object);
    if (!before) return [{ kind: 'add', after: object }];
    if (before.metadata.uid === object.metadata.uid) return [{ kind: 'update', before, after: object }];
    return [
      { kind: 'delete', before },
      { kind: 'add', after: object },
    ];
  }

  /** `last` is the state the server told with the deletion. */
  remove(last: Live<T>): Change<T>[] {
    const key = keyString(keyOf(last));
    const before = this.#objects.get(key);
    // a late word about an object whose namesake has taken its place
    if (before?.metadata.uid !== last.metadata.uid) return [];
    this.#objects.delete(key);
    this.#unfile(key, before);
    return [{ kind: 'delete', before: last }];
  }

  /** Makes the cache equal to a complete list. */
  replaceAll(objects: readonly Live<T>[]): Change<T>[] {
    const listed = new Set(objects.map((object) => keyString(keyOf(object))));
    const gone = [...this.#objects].filter(([key]) => !listed.has(key)).flatMap(([, object]) => this.remove(object));
    return [...gone, ...objects.flatMap((object) => this.put(object))];
  }

  /** Key -> resourceVersion of everything, to find out later what has changed. */
  versions(): ReadonlyMap<string, string> {
    return new Map([...this.#objects].map(([key, { metadata }]) => [key, metadata.resourceVersion]));
  }

  #file(key: string, object: Live<T>): void {
    for (const [name, index] of this.#indexes) {
      const filed = this.#filed.get(name);
      for (const value of index(object)) filed?.set(value, (filed.get(value) ?? new Set()).add(key));
    }
  }

  #unfile(key: string, object: Live<T>): void {
    for (const [name, index] of this.#indexes) {
      const filed = this.#filed.get(name);
      for (const value of index(object)) {
        const keys = filed?.get(value);
        keys?.delete(key);
        if (keys?.size === 0) filed?.delete(value);
      }
    }
  }
}
