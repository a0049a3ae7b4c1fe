/** Counts things of some kinds over the last minute, in steps of a second. */
export class RecentCounts<Kind extends string> {
  readonly #kinds: readonly Kind[];
  readonly #now: () => number;
  readonly #seconds: number;
  readonly #buckets = new Map<number, Record<Kind, number>>();

  /** @param now milliseconds that only go forward */
  constructor(kinds: readonly Kind[], now: () => number = () => performance.now(), seconds = 60) {
    this.#kinds = kinds;
    this.#now = now;
    this.#seconds = seconds;
  }

  add(kind: Kind, count = 1): void {
    const second = this.#second();
    const bucket = this.#buckets.get(second) ?? this.#none();
    this.#buckets.set(second, bucket);
    bucket[kind] += count;
    this.#forget();
  }

  /** Forgets everything so far. */
  clear(): void {
    this.#buckets.clear();
  }

  get sums(): Readonly<Record<Kind, number>> {
    this.#forget();
    const sums = this.#none();
    for (const bucket of this.#buckets.values()) for (const kind of this.#kinds) sums[kind] += bucket[kind];
    return sums;
  }

  #none(): Record<Kind, number> {
    return Object.fromEntries(this.#kinds.map((kind) => [kind, 0])) as Record<Kind, number>;
  }

  #second(): number {
    return Math.floor(this.#now() / 1000);
  }

  #forget(): void {
    const oldest = this.#second() - this.#seconds;
    for (const second of this.#buckets.keys()) if (second <= oldest) this.#buckets.delete(second);
  }
}
