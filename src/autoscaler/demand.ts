/**
 * How much work a pool must be ready for: the present demand, and what it may grow by until a replica asked for now would be ready. How much that is
 * is learnt from the demand itself: of a steady one next to nothing, of one in bursts as much as the bursts bring, as long as they come.
 */
export interface DemandState {
  /** Average over `averageMs`; units of work a second. null: no sample yet. */
  readonly level: number | null;
  /** When the first sample of this average was taken; ms since the epoch. */
  readonly sinceMs: number | null;
  /** Demand of each `bucketMs` that is over, oldest first. */
  readonly buckets: readonly Bucket[];
  /** Of the bucket under way. */
  readonly sum: number;
  readonly ms: number;
}

interface Bucket {
  /** Mean demand. */
  readonly mean: number;
  /** The average at its end: what a decision then knew. */
  readonly level: number;
}

/** Long enough that single conversations do not count, short against the minutes that a replica takes to start. */
const averageMs = 45_000;
const bucketMs = 30_000;
/** What has happened is remembered for so long. */
const memoryMs = 45 * 60_000;
/** Share of the past moments after which the demand stayed within the margin. */
const covered = 0.9;
/** Beyond the highest demand of the memory by this factor at most. */
const growthBeyondPeak = 1.1;

export const noDemand: DemandState = { level: null, sinceMs: null, buckets: [], sum: 0, ms: 0 };

/** What is left of it after a restart: its average. */
export function seededDemand(level: number, atMs: number): DemandState {
  return { ...noDemand, level, sinceMs: atMs };
}

/** Takes in what was asked for over the `ms` before `atMs`; units of work a second. */
export function observeDemand(state: DemandState, atMs: number, ms: number, perSecond: number): DemandState {
  const sinceMs = state.sinceMs ?? atMs - ms;
  // until the average is as old as it may be, each moment counts alike
  const weight = state.level === null ? 1 : Math.max(1 - Math.exp(-ms / averageMs), Math.min(1, ms / Math.max(ms, atMs - sinceMs)));
  const level = state.level === null ? perSecond : state.level + weight * (perSecond - state.level);
  const [sum, passed] = [state.sum + perSecond * ms, state.ms + ms];
  if (passed < bucketMs) return { level, sinceMs, buckets: state.buckets, sum, ms: passed };
  const buckets = [...state.buckets, { mean: sum / passed, level }].slice(-memoryMs / bucketMs);
  return { level, sinceMs, buckets, sum: 0, ms: 0 };
}

/** Units of work a second to be ready for, when a replica takes `startMs` to come. */
export function neededFor(state: DemandState, startMs: number): number | undefined {
  const { level, buckets } = state;
  if (level === null) return undefined;
  const ahead = Math.max(1, Math.ceil(startMs / bucketMs));
  const growths: number[] = [];
  for (let index = 0; index + ahead < buckets.length; index++) {
    const then = buckets[index];
    if (!then) continue;
    const highest = Math.max(...buckets.slice(index + 1, index + 1 + ahead).map(({ mean }) => mean));
    growths.push(Math.max(0, highest - then.level));
  }
  if (growths.length < ahead) return level;
  const margin = growths.sort((a, b) => a - b)[Math.min(growths.length - 1, Math.floor(covered * growths.length))] ?? 0;
  const peak = Math.max(...buckets.map(({ mean }) => mean));
  return Math.max(level, Math.min(level + margin, growthBeyondPeak * peak));
}
