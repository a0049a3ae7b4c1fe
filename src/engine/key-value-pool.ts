import { RadixCache } from './radix-cache.ts';

/** Hands out the slots of the key-value pool; when none is free it evicts from the prefix cache. */
export class KeyValuePool {
  readonly cache: RadixCache;
  readonly capacity: number;
  readonly #free: Int32Array;
  #freeCount: number;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#free = Int32Array.from({ length: capacity }, (_, slot) => capacity - 1 - slot);
    this.#freeCount = capacity;
    this.cache = new RadixCache((slots) => this.release(slots));
  }

  /** Slots that could be handed out now, eviction included. */
  get available(): number {
    return this.#freeCount + this.cache.evictable;
  }

  /** Slots in use by running requests: neither free nor evictable. */
  get used(): number {
    return this.capacity - this.available;
  }

  /** Fills `target` with slots. Throws a RangeError when there are not enough. */
  take(target: Int32Array): void {
    if (target.length > this.#freeCount) this.cache.evict(target.length - this.#freeCount);
    if (target.length > this.#freeCount) throw new RangeError(`the key-value pool has no ${target.length} slots left`);
    this.#freeCount -= target.length;
    target.set(this.#free.subarray(this.#freeCount, this.#freeCount + target.length));
  }

  release(slots: Int32Array): void {
    this.#free.set(slots, this.#freeCount);
    this.#freeCount += slots.length;
  }
}
