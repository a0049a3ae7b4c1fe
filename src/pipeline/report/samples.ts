import { createHash } from 'node:crypto';

/** A position of a response. */
export interface Place {
  readonly dataId: number;
  /** Of the token that the SLM would choose otherwise, or the same. */
  readonly tokenId: number;
}

interface Ranked<T> {
  readonly rank: number;
  readonly item: T;
}

/** Keeps so many of what it is given, each as likely as any other, and the same ones for the same seed. */
export class Sample<T> {
  readonly #count: number;
  readonly #seed: number;
  #kept: Ranked<T>[] = [];

  constructor(count: number, seed: number) {
    this.#count = count;
    this.#seed = seed;
  }

  offer(key: string, item: T): void {
    const rank = createHash('sha256').update(`${this.#seed}:${key}`).digest().readUIntBE(0, 6);
    if (this.#kept.length === this.#count && rank >= (this.#kept.at(-1)?.rank ?? 0)) return;
    const at = this.#kept.findIndex((each) => each.rank > rank);
    this.#kept.splice(at < 0 ? this.#kept.length : at, 0, { rank, item });
    this.#kept = this.#kept.slice(0, this.#count);
  }

  get items(): readonly T[] {
    return this.#kept.map(({ item }) => item);
  }
}
