/** Replica counts that were wished for, each from `atMs` until the next one's: oldest first, equal neighbours joined. */
export type Wishes = readonly Wish[];

interface Wish {
  /** ms since the epoch. */
  readonly atMs: number;
  readonly replicas: number;
}

/** Adds what is wished for now, and forgets what no window of `keepMs` reaches. */
export function addWish(wishes: Wishes, replicas: number, nowMs: number, keepMs: number): Wishes {
  const joined = wishes.at(-1)?.replicas === replicas ? wishes : [...wishes, { atMs: nowMs, replicas }];
  const reached = joined.findIndex((_, index) => (joined[index + 1]?.atMs ?? Infinity) > nowMs - keepMs);
  return reached > 0 ? joined.slice(reached) : joined;
}

/** The lowest and the highest wish of the last `windowMs`; undefined while there have not been wishes for so long. */
export function extremes(
  wishes: Wishes,
  windowMs: number,
  nowMs: number,
): { readonly lowest: number; readonly highest: number } | undefined {
  const from = nowMs - windowMs;
  if (wishes[0] === undefined || wishes[0].atMs > from) return undefined;
  const within = wishes.filter((_, index) => (wishes[index + 1]?.atMs ?? Infinity) > from).map(({ replicas }) => replicas);
  return { lowest: Math.min(...within), highest: Math.max(...within) };
}
