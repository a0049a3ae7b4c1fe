import type { Informer } from './informer.ts';
import { isNewerVersion, keyOf, keyString, type KubeObject, type Live } from './object.ts';

/**
 * What the server answered to writes that the watch has yet to tell. A reconcile that comes before the watch would otherwise decide, and note, a
 * second time what the one before it has written. Unlike `Informer.wrote` it hides nothing from anybody else's handlers. What the watch has
 * overtaken is forgotten at once: a copy of every object would be kept else.
 */
export class OwnWrites<T extends KubeObject> {
  readonly #informer: Pick<Informer<T>, 'addHandler' | 'get'>;
  /** By key. */
  readonly #objects = new Map<string, Live<T>>();

  constructor(informer: Pick<Informer<T>, 'addHandler' | 'get'>) {
    this.#informer = informer;
    informer.addHandler({
      onAdd: (object) => this.#told(object),
      onUpdate: (_, object) => this.#told(object),
      onDelete: (object) => this.#objects.delete(keyString(keyOf(object))),
    });
  }

  written(object: Live<T>): void {
    this.#objects.set(keyString(keyOf(object)), object);
    // the watch is often faster than the answer to the write
    const cached = this.#informer.get(keyOf(object));
    if (cached) this.#told(cached);
  }

  /** The newer one of what the cache has and what was written. */
  latest(cached: Live<T>): Live<T> {
    return this.#objects.get(keyString(keyOf(cached))) ?? cached;
  }

  #told(object: Live<T>): void {
    const key = keyString(keyOf(object));
    const own = this.#objects.get(key)?.metadata;
    const { uid, resourceVersion } = object.metadata;
    if (own?.uid !== uid || !isNewerVersion(own.resourceVersion, resourceVersion)) this.#objects.delete(key);
  }
}
