/**
 * Replays workloads through the operator's scaling decision, with cold starts of minutes, and through what others use; compares late tokens, GPU-hours and
 * changes: `npm run bench:autoscaler`, some six minutes on one idle core. Writes bench/results/autoscaler.json and docs/autoscaling-*.svg, and fails when an
 * aim is missed. docs/autoscaling.md tells what is simulated.
 *
 *   node bench/autoscaler.ts [--workload NAME,...] [--seeds N,...] some of the workloads, or other draws than 1 to 5: a trial, which writes nothing
 *   node bench/autoscaler.ts --trace FILE [--copies N]             requests of a trace, each N times
 */
import { parseArgs } from 'node:util';
import { verdicts } from './autoscaler/aims.ts';
import { meanOverSeeds, type Run } from './autoscaler/curve.ts';
import { defaultUtilization, ours } from './autoscaler/ours.ts';
import { candidates } from './autoscaler/policies.ts';
import { table, writePlots, writeResults } from './autoscaler/report.ts';
import { trueCapacity } from './autoscaler/replica-model.ts';
import { simulate, type Moment } from './autoscaler/simulation.ts';
import { sizesFor } from './autoscaler/sizing.ts';
import { TraceError, traceWorkload } from './autoscaler/trace-file.ts';
import { workload, workloadNames, type Workload, type WorkloadName } from './autoscaler/workloads.ts';

const { values } = parseArgs({
  options: {
    workload: { type: 'string' },
    trace: { type: 'string' },
    copies: { type: 'string', default: '1' },
    seeds: { type: 'string' },
  },
});
const copies = whole(values.copies, '--copies');
const seeds = (values.seeds ?? '1,2,3,4,5').split(',').map((each) => whole(each, '--seeds'));
const trial = values.workload !== undefined || values.trace !== undefined || values.seeds !== undefined;
const plotted: readonly string[] = ['bursty', 'diurnal'];

/** What is replayed, each made anew for every seed. */
function workloads(): readonly ((seed: number) => Workload)[] {
  const { trace } = values;
  if (trace !== undefined) return [(seed) => readTrace(trace, seed)];
  const names = values.workload?.split(',') ?? workloadNames;
  return names.map((name) =>
    isWorkload(name) ? (seed) => workload(name, seed) : fail(`--workload: ${name} is none of ${workloadNames.join(', ')}`),
  );
}

const runs: Run[] = [];
const started = performance.now();
for (const make of workloads()) {
  const here: Run[] = [];
  const moments: Moment[] = [];
  let capacity = 0;
  for (const seed of seeds) {
    const each = make(seed);
    const sizes = sizesFor(each, seed);
    const limits = { minReplicas: 1, maxReplicas: 2 * sizes.peak };
    if (seed === seeds[0]) console.log('');
    console.log(
      `${each.name}, seed ${seed}: ${each.at.length} requests in ${(each.seconds / 3600).toFixed(1)} h; ${sizes.mean} replicas for the mean, ${sizes.peak} for the highest minute`,
    );
    const all = candidates(sizes);
    for (const [index, candidate] of all.entries()) {
      const { policy, setting, standard } = candidate;
      progress(`${index + 1} of ${all.length}: ${policy} ${setting}`);
      const outcome = simulate(each, candidate.make(limits, sizes.peak, seed), sizes.peak, seed);
      here.push({ workload: each.name, policy, setting, standard, seed, ...outcome });
    }
    progress('');
    if (trial || !plotted.includes(each.name) || seed !== seeds[0]) continue;
    capacity = trueCapacity(each.llmShare(0));
    const watch = { everySeconds: Math.max(60, Math.round(each.seconds / 400)), see: (moment: Moment) => void moments.push(moment) };
    simulate(each, ours(defaultUtilization, limits, sizes.peak, seed), sizes.peak, seed, watch);
  }
  const means = meanOverSeeds(here);
  console.log(table(means));
  if (moments.length > 0) writePlots(here[0]?.workload ?? '', means, moments, capacity);
  runs.push(...here);
}

const judged = verdicts(runs);
console.log('');
for (const { met, text, missedWith } of judged) {
  const alone = missedWith.length > 0 && seeds.length > 1 ? `; missed with seed ${missedWith.join(', ')} alone` : '';
  console.log(`${met ? 'met   ' : 'missed'} ${text}${alone}`);
}
console.log(`${Math.round((performance.now() - started) / 1000)} s`);
if (!trial) writeResults(seeds, runs, judged);
process.exitCode = judged.every(({ met }) => met) ? 0 : 1;

function readTrace(file: string, seed: number): Workload {
  try {
    return traceWorkload(file, copies, seed);
  } catch (error) {
    if (error instanceof TraceError) fail(`--trace: ${error.message}`);
    throw error;
  }
}

function isWorkload(name: string): name is WorkloadName {
  return (workloadNames as readonly string[]).includes(name);
}

function whole(text: string, flag: string): number {
  const number = Number(text);
  return Number.isInteger(number) && number > 0 ? number : fail(`${flag}: ${text} is not a whole number above 0`);
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}

/** A line that the next one overwrites; nothing where the output is a file. */
function progress(text: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[2K${text}`);
}
