import { isNewerVersion, keyOf, keyString, type KubeObject, type Live } from './object.ts';

/**
 * What the server answered to writes that the watch has yet to tell. A reconcile that comes before the watch would otherwise decide, and note, a
 * second time what the one before it has written. Unlike `Informer.wrote` it hides nothing from anybody else's handlers.
 */
export class OwnWrites<T extends KubeObject> {
  /** By key. */
  readonly #objects = new Map<string, Live<T>>();

  written(object: Live<T>): void {
    this.#objects.set(keyString(keyOf(object)), object);
  }

  /** The newer one of what the cache has and what was written. What the watch has overtaken is forgotten. */
  latest(cached: Live<T>): Live<T> {
    const key = keyString(keyOf(cached));
    const own = this.#objects.get(key);
    if (!own) return cached;
    const { uid, resourceVersion } = cached.metadata;
    if (own.metadata.uid === uid && isNewerVersion(own.metadata.resourceVersion, resourceVersion)) return own;
    this.#objects.delete(key);
    return cached;
  }

  forget(key: string): void {
    this.#objects.delete(key);
  }
}
