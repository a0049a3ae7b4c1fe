import type { MeasuredCapacity, PoolSample } from './types.ts';

/** What is remembered between samples to measure a replica's capacity: plain data. `measured` is what status keeps. */
export interface CapacityState {
  readonly measured: MeasuredCapacity | null;
  /** While nothing is measured: the highest rate within the target, which says little as long as the target was never reached. */
  readonly within: number;
  /** The minute under way; null: it begins with the next sample. */
  readonly minute: Minute | null;
}

interface Minute {
  readonly sinceMs: number;
  /** Of the last sample in it. */
  readonly atMs: number;
  /** Units of work done by one replica. */
  readonly done: number;
  /** Time in samples whose latency was within the target, and in all. Ms. */
  readonly withinMs: number;
  readonly ms: number;
  /** Replicas that served; another number begins another minute. */
  readonly serving: number;
}

const minuteMs = 60_000;
/** Samples further apart than this say nothing of the time between them. */
const longestSampleMs = 30_000;
/** What a minute beyond the latency target, at less than what was measured, takes away of it at most. */
const forgetting = 0.02;
/** Of the rate beyond the latency target, what lies within it: a guess until a minute within it has shown more. */
const overloadShare = 0.7;

/** `measured`: what status keeps of this revision. */
export function initialCapacity(measured?: MeasuredCapacity): CapacityState {
  return { measured: measured ?? null, within: 0, minute: null };
}

/** Takes the figure of the benchmark that runs after the first replica became ready; what traffic has shown before stays. */
export function seedCapacity(state: CapacityState, perSecond: number, nowMs: number): CapacityState {
  if (state.measured?.source === 'Traffic' || !(perSecond > 0)) return state;
  return { ...state, measured: { perSecond, source: 'Benchmark', measuredAtMs: nowMs } };
}

/**
 * Takes a sample in. A minute with the same replicas, all within the latency target, at a higher rate per replica than ever before gives the capacity.
 * A minute beyond the target at a lower rate shows that it was too high, for this traffic: it comes down slowly. Without a benchmark nothing is known
 * until a minute was beyond the target: little traffic does not mean little capacity.
 */
export function observeCapacity(state: CapacityState, sample: PoolSample, latencyTargetMs: number): CapacityState {
  const serving = sample.replicas.filter(({ ready, draining }) => ready && !draining).length;
  const { minute } = state;
  const ms = minute === null ? 0 : sample.atMs - minute.atMs;
  const begun: Minute = { sinceMs: sample.atMs, atMs: sample.atMs, done: 0, withinMs: 0, ms: 0, serving };
  if (sample.donePerSecond === undefined || serving === 0) return { ...state, minute: null };
  if (minute === null || ms > longestSampleMs || minute.serving !== serving) return { ...state, minute: begun };
  if (ms <= 0) return state;
  const within = sample.latencyP95Ms === undefined || sample.latencyP95Ms <= latencyTargetMs;
  const longer: Minute = {
    ...minute,
    atMs: sample.atMs,
    done: minute.done + (sample.donePerSecond * ms) / 1000 / serving,
    withinMs: minute.withinMs + (within ? ms : 0),
    ms: minute.ms + ms,
  };
  if (sample.atMs - minute.sinceMs < minuteMs) return { ...state, minute: longer };
  return { ...judge(state, longer, sample.atMs), minute: begun };
}

function judge(state: CapacityState, { done, withinMs, ms }: Minute, nowMs: number): Pick<CapacityState, 'measured' | 'within'> {
  const perSecond = (1000 * done) / ms;
  const measuredAs = (figure: number) => ({ measured: { perSecond: figure, source: 'Traffic', measuredAtMs: nowMs } as const, within: 0 });
  const { measured, within } = state;
  const inside = withinMs === ms;
  const outside = withinMs <= ms / 2;
  if (measured === null) {
    if (outside && perSecond > 0) return measuredAs(Math.max(within, overloadShare * perSecond));
    return { measured, within: inside ? Math.max(within, perSecond) : within };
  }
  if (inside && perSecond > measured.perSecond) return measuredAs(perSecond);
  if (outside && perSecond < measured.perSecond) return measuredAs(Math.max(perSecond, measured.perSecond * (1 - forgetting)));
  return { measured, within };
}
