/** The conversations of one replica by the amount of work at which each ends: all progress alike, so that only the next end must be looked at. */
export class Conversations {
  /** Binary heap. */
  readonly #ends: number[] = [];
  /** Tokens that each conversation here has got since the replica began. */
  #progress = 0;

  get count(): number {
    return this.#ends.length;
  }

  add(tokens: number): void {
    const heap = this.#ends;
    const end = this.#progress + tokens;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] ?? 0;
      if (above <= end) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = end;
  }

  /** Gives each conversation so many tokens; those that have got all are gone. */
  advance(tokens: number): void {
    this.#progress += tokens;
    while (this.#ends.length > 0 && (this.#ends[0] ?? 0) <= this.#progress) this.#pop();
  }

  /** Takes all away: the tokens that each still needs. */
  takeAll(): readonly number[] {
    return this.#ends.splice(0).map((end) => end - this.#progress);
  }

  #pop(): void {
    const heap = this.#ends;
    const last = heap.pop() ?? 0;
    const size = heap.length;
    if (size === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && (heap[child + 1] ?? 0) < (heap[child] ?? 0)) child++;
      const below = heap[child] ?? 0;
      if (below >= last) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
  }
}
