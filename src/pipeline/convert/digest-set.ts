import { createHash } from 'node:crypto';

const wordsEach = 4;

/**
 * Which texts have been seen, by 128 bits of their sha256: 32 to 64 bytes a text, so that a million of them need no more than 64 MiB, whatever
 * their lengths.
 */
export class DigestSet {
  /** Open addressing, four words a slot; a slot of zeros is free. */
  #slots = new Uint32Array(1024 * wordsEach);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @returns false when the text was there already */
  add(text: string): boolean {
    const digest = createHash('sha256').update(text).digest();
    const words = new Uint32Array(wordsEach).map((_, index) => digest.readUInt32LE(4 * index));
    // no text has this digest for all practical purposes, but a free slot does
    words[0] ||= 1;
    if (!insert(this.#slots, words, 0)) return false;
    this.#size++;
    if (2 * this.#size * wordsEach >= this.#slots.length) this.#grow();
    return true;
  }

  #grow(): void {
    const larger = new Uint32Array(2 * this.#slots.length);
    for (let at = 0; at < this.#slots.length; at += wordsEach) if (this.#slots[at] !== 0) insert(larger, this.#slots, at);
    this.#slots = larger;
  }
}

function insert(slots: Uint32Array, words: Uint32Array, from: number): boolean {
  const mask = slots.length / wordsEach - 1;
  for (let slot = (words[from + 1] ?? 0) & mask; ; slot = (slot + 1) & mask) {
    const at = slot * wordsEach;
    if (slots[at] === 0) {
      for (let word = 0; word < wordsEach; word++) slots[at + word] = words[from + word] ?? 0;
      return true;
    }
    let equal = true;
    for (let word = 0; word < wordsEach; word++) equal &&= slots[at + word] === words[from + word];
    if (equal) return false;
  }
}
