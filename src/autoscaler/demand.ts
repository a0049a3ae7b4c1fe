/**
 * How much work a pool must be ready for: the present demand, where it is going, and what it may rise to until a replica asked for now would be ready. The
 * last is learnt from the demand itself: of a steady one next to nothing, of one in bursts as much as the bursts bring, as long as they come.
 */
export interface DemandState {
  /** Average over `averageMs`; units of work a second. null: no sample yet. */
  readonly level: number | null;
  /** Average over `urgentMs`: what is looked at while calls are late. */
  readonly urgent: number | null;
  /** When the first sample of this average was taken; ms since the epoch. */
  readonly sinceMs: number | null;
  /** Demand of each `bucketMs` that is over, oldest first. */
  readonly buckets: readonly Bucket[];
  /** Of the bucket under way. */
  readonly sum: number;
  readonly ms: number;
  /** Demand of each `momentMs` of the last two minutes that is over, oldest first. */
  readonly moments: readonly number[];
  /** Of the moment under way. */
  readonly momentSum: number;
  readonly momentPassedMs: number;
}

interface Bucket {
  /** Mean demand. */
  readonly mean: number;
  /** The average at its end: what a decision then knew. */
  readonly level: number;
}

/** Long enough that single conversations do not count, short against the minutes that a replica takes to start. */
const averageMs = 30_000;
const urgentMs = 10_000;
const bucketMs = 30_000;
/** What has happened is remembered for so long. */
const memoryMs = 90 * 60_000;
/** Share of the past moments after which the demand stayed within what is taken as possible. */
const covered = 0.97;
/** What is possible is beyond the highest demand of the memory by this factor at most. */
const growthBeyondPeak = 1.1;
/** The slope is that of the last seven minutes, as far as it is steeper than its standard error by this factor. */
const slopeBuckets = 14;
const significant = 2;
const momentMs = 10_000;
/** While calls are late, a rise is taken to go on for as long as it has lasted: so many moments, those that say most, and to the double at most. */
const riseMoments = [5, 12] as const;
/** A slope is known late, and a replica has to be of use for some time: so much is added to the time that it takes to start. */
const slopeLagMs = 120_000;

export const noDemand: DemandState = {
  level: null,
  urgent: null,
  sinceMs: null,
  buckets: [],
  sum: 0,
  ms: 0,
  moments: [],
  momentSum: 0,
  momentPassedMs: 0,
};

/** What is left of it after a restart: its average. */
export function seededDemand(level: number, atMs: number): DemandState {
  return { ...noDemand, level, urgent: level, sinceMs: atMs - averageMs };
}

/** Takes in what was asked for over the `ms` before `atMs`; units of work a second. */
export function observeDemand(state: DemandState, atMs: number, ms: number, perSecond: number): DemandState {
  const sinceMs = state.sinceMs ?? atMs - ms;
  // until the average is as old as it may be, each moment counts alike
  const weight = state.level === null ? 1 : Math.max(1 - Math.exp(-ms / averageMs), Math.min(1, ms / Math.max(ms, atMs - sinceMs)));
  const level = state.level === null ? perSecond : state.level + weight * (perSecond - state.level);
  const urgent = perSecond + Math.exp(-ms / urgentMs) * ((state.urgent ?? perSecond) - perSecond);
  const next = { ...state, level, urgent, sinceMs, ...momentAfter(state, ms, perSecond) };
  const [sum, passed] = [state.sum + perSecond * ms, state.ms + ms];
  if (passed < bucketMs) return { ...next, sum, ms: passed };
  const buckets = [...state.buckets, { mean: sum / passed, level }].slice(-memoryMs / bucketMs);
  return { ...next, buckets, sum: 0, ms: 0 };
}

function momentAfter({ moments, momentSum, momentPassedMs }: DemandState, ms: number, perSecond: number) {
  const [sum, passed] = [momentSum + perSecond * ms, momentPassedMs + ms];
  // across a gap there is no slope
  if (ms > 2 * momentMs) return { moments: [], momentSum: 0, momentPassedMs: 0 };
  if (passed < momentMs) return { momentSum: sum, momentPassedMs: passed };
  return { moments: [...moments, sum / passed].slice(-Math.max(...riseMoments)), momentSum: 0, momentPassedMs: 0 };
}

/** So many standard deviations of a bucket's mean lie between a demand at which a replica may go and one that would bring it back. */
const wobbleDeviations = 4;
/** Standard deviation of normally distributed values beside the median difference of two of them: 1 / (0.6745 * sqrt(2)). */
const deviationPerStep = 1.048;
/** From fewer buckets nothing is known of the noise. */
const wobbleBuckets = 20;

/** Units of work a second. */
export interface Need {
  /** Where the demand will be when a replica asked for now would be ready, if it goes on as it does. */
  readonly expected: number;
  /** What it may rise to until then, as it has before. */
  readonly possible: number;
  /** What noise alone may move the average by; undefined: not known yet. */
  readonly wobble: number | undefined;
}

/** What to be ready for, when a replica takes `startMs` to come, and calls are late or not; undefined: there is no demand yet. */
export function neededFor({ level: average, urgent, buckets, moments }: DemandState, startMs: number, late: boolean): Need | undefined {
  if (average === null) return undefined;
  const level = late ? Math.max(average, urgent ?? 0) : average;
  const rise = slope(buckets.slice(-slopeBuckets).map(({ mean }) => mean));
  const lasting = (Math.max(0, rise) * (startMs + slopeLagMs)) / bucketMs;
  const sudden = late ? Math.min(level, Math.max(...riseMoments.map((count) => count * slope(moments.slice(-count))))) : 0;
  const expected = level + Math.max(lasting, sudden);
  const ahead = Math.max(1, Math.ceil(startMs / bucketMs));
  const wobble = wobbleOf(buckets);
  if (buckets.length < 2 * ahead) return { expected, possible: expected, wobble };
  const peak = Math.max(...buckets.map(({ mean }) => mean));
  return { expected, possible: Math.max(expected, Math.min(level + usualGrowth(buckets, ahead), growthBeyondPeak * peak)), wobble };
}

/** By the median of the differences of neighbours: neither a trend nor a step is part of it. */
function wobbleOf(buckets: readonly Bucket[]): number | undefined {
  if (buckets.length < wobbleBuckets) return undefined;
  const steps = buckets.slice(1).map(({ mean }, index) => Math.abs(mean - (buckets[index]?.mean ?? 0)));
  steps.sort((a, b) => a - b);
  return wobbleDeviations * deviationPerStep * (steps[Math.floor(steps.length / 2)] ?? 0);
}

/** How far the highest of the `ahead` buckets after a moment was above that moment's average, for `covered` of the moments at most. */
function usualGrowth(buckets: readonly Bucket[], ahead: number): number {
  const growths = buckets.slice(0, -ahead).map(({ level }, index) => {
    let highest = level;
    for (let after = index + 1; after <= index + ahead; after++) highest = Math.max(highest, buckets[after]?.mean ?? 0);
    return highest - level;
  });
  growths.sort((a, b) => a - b);
  return growths[Math.min(growths.length - 1, Math.floor(covered * growths.length))] ?? 0;
}

/** Slope of the straight line through equally spaced values, for one step, as far as noise does not explain it. */
function slope(values: readonly number[]): number {
  const count = values.length;
  if (count < 5) return 0;
  const middle = (count - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const spread = (count * (count ** 2 - 1)) / 12;
  const steep = values.reduce((sum, value, index) => sum + (index - middle) * value, 0) / spread;
  const residual = values.reduce((sum, value, index) => sum + (value - mean - steep * (index - middle)) ** 2, 0);
  return steep - significant * Math.sqrt(residual / (count - 2) / spread);
}
