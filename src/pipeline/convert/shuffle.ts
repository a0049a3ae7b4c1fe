import { createHash } from 'node:crypto';

/**
 * An order of 0..count-1 that depends on the seed and the key alone: with a question's id as key, what comes before or after it changes nothing.
 * Fisher and Yates, drawing from sha256 in counter mode; numbers that would favour an index are drawn again.
 */
export function seededOrder(count: number, seed: number, key: string): readonly number[] {
  const draw = numbers(seed, key);
  const order = Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const range = last + 1;
    const limit = 2 ** 32 - (2 ** 32 % range);
    let number = draw();
    while (number >= limit) number = draw();
    const other = number % range;
    const kept = order[last] ?? 0;
    order[last] = order[other] ?? 0;
    order[other] = kept;
  }
  return order;
}

/** Uniform 32-bit numbers. */
function numbers(seed: number, key: string): () => number {
  let block = Buffer.alloc(0);
  let blocks = 0;
  let at = 0;
  return () => {
    if (at === block.length) {
      block = createHash('sha256').update(`${seed}\0${blocks++}\0${key}`).digest();
      at = 0;
    }
    at += 4;
    return block.readUInt32LE(at - 4);
  };
}
