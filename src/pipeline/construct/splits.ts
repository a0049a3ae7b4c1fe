import { createHash } from 'node:crypto';
import { splitNames, type SplitName } from '../tables.ts';

export interface SplitShares {
  readonly validationShare: number;
  readonly testShare: number;
  readonly seed: number;
}

/**
 * Which split each question belongs to: by the rank of a hash of seed and id, so that the shares are exact, whole questions stay together, and
 * the order in which they came does not matter. A split that has a share has a question at least, unless none would be left to train on.
 *
 * @param ids unique
 */
export function splitQuestions(ids: readonly string[], { validationShare, testShare, seed }: SplitShares): ReadonlyMap<string, SplitName> {
  const ranked = ids
    .map((id) => ({ id, rank: createHash('sha256').update(`${seed}:${id}`).digest('hex') }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1));
  const sizes = { test: 0, validation: 0 };
  let left = ids.length;
  for (const [split, share] of [
    ['test', testShare],
    ['validation', validationShare],
  ] as const) {
    sizes[split] = Math.max(0, Math.min(left - 1, Math.max(Math.round(share * ids.length), share > 0 ? 1 : 0)));
    left -= sizes[split];
  }
  return new Map(
    ranked.map(({ id }, rank) => [id, rank < sizes.test ? 'test' : rank < sizes.test + sizes.validation ? 'validation' : 'train']),
  );
}

export function isSplitName(name: string | undefined): name is SplitName {
  return splitNames.some((each) => each === name);
}
