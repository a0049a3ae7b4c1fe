import { fixed } from './policy.ts';
import { trueCapacity } from './replica-model.ts';
import { simulate } from './simulation.ts';
import type { Workload } from './workloads.ts';

/** What a pool of fixed size is made for: demand at 80 % of the capacity, as ours is by default. */
const utilization = 0.8;
const ample = 60;

export interface Sizes {
  readonly mean: number;
  readonly peak: number;
}

/** Replicas that the mean and the highest minute of a workload need: from what it asks of a pool that is never too small. */
export function sizesFor(workload: Workload, seed: number): Sizes {
  let [sum, minutes, highest] = [0, 0, 0];
  simulate(workload, fixed(ample), ample, seed, {
    everySeconds: 60,
    see: ({ second, callsPerSecond }) => {
      const replicas = callsPerSecond / trueCapacity(workload.llmShare(second)) / utilization;
      sum += replicas;
      minutes++;
      highest = Math.max(highest, replicas);
    },
  });
  return { mean: Math.max(1, Math.ceil(sum / Math.max(1, minutes))), peak: Math.max(1, Math.ceil(highest)) };
}
