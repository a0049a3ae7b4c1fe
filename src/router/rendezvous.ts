import { createHash } from 'node:crypto';

/**
 * Chooses by rendezvous hashing: the candidate whose hash together with the key is the highest. Keys spread evenly, and when a
 * candidate goes only its own keys move.
 */
export function rendezvous<T>(key: string, candidates: readonly T[], idOf: (candidate: T) => string): T | undefined {
  let chosen: T | undefined;
  let highest = -1n;
  for (const candidate of candidates) {
    const weight = createHash('sha256').update(key).update('\0').update(idOf(candidate)).digest().readBigUInt64BE();
    if (weight > highest) [chosen, highest] = [candidate, weight];
  }
  return chosen;
}
