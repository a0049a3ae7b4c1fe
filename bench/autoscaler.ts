/**
 * Replays workloads through the operator's scaling decision, with cold starts of minutes, and through what others use; compares late tokens, GPU-hours and
 * changes: `npm run bench:autoscaler`, two minutes on one idle core. Writes bench/results/autoscaler.json and docs/autoscaling-*.svg, and fails when an
 * aim is missed. docs/autoscaling.md tells what is simulated.
 *
 *   node bench/autoscaler.ts [--workload NAME,...] [--seed N]      some of the workloads, or other draws: a trial, which writes nothing
 *   node bench/autoscaler.ts --trace FILE [--copies N]             requests of a trace, each N times
 */
import { parseArgs } from 'node:util';
import { verdicts } from './autoscaler/aims.ts';
import type { Row } from './autoscaler/curve.ts';
import { defaultUtilization, ours } from './autoscaler/ours.ts';
import { candidates } from './autoscaler/policies.ts';
import { commit, table, writePlots, writeResults } from './autoscaler/report.ts';
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
    seed: { type: 'string', default: '1' },
  },
});
const [seed, copies] = [whole(values.seed, '--seed'), whole(values.copies, '--copies')];
const trial = values.workload !== undefined || values.trace !== undefined || values.seed !== '1';
const plotted: readonly string[] = ['bursty', 'diurnal'];

/** One workload after the other: a day of requests takes some memory. */
function* workloads(): Generator<Workload> {
  if (values.trace !== undefined) {
    yield readTrace(values.trace);
    return;
  }
  for (const name of values.workload?.split(',') ?? workloadNames) {
    if (!isWorkload(name)) fail(`--workload: ${name} is none of ${workloadNames.join(', ')}`);
    yield workload(name, seed);
  }
}

const rows: Row[] = [];
const started = performance.now();
for (const each of workloads()) {
  const sizes = sizesFor(each, seed);
  const limits = { minReplicas: 1, maxReplicas: 2 * sizes.peak };
  console.log(
    `\n${each.name}: ${each.at.length} requests in ${(each.seconds / 3600).toFixed(1)} h; ${sizes.mean} replicas for the mean, ${sizes.peak} for the highest minute`,
  );
  const all = candidates(sizes);
  const here: Row[] = [];
  for (const [index, candidate] of all.entries()) {
    const { policy, setting, standard } = candidate;
    progress(`${index + 1} of ${all.length}: ${policy} ${setting}`);
    const outcome = simulate(each, candidate.make(limits, sizes.peak, seed), sizes.peak, seed);
    here.push({ workload: each.name, policy, setting, standard, ...outcome });
  }
  progress('');
  console.log(table(here));
  rows.push(...here);
  if (!trial && plotted.includes(each.name)) {
    const moments: Moment[] = [];
    const watch = { everySeconds: Math.max(60, Math.round(each.seconds / 400)), see: (moment: Moment) => void moments.push(moment) };
    simulate(each, ours(defaultUtilization, limits, sizes.peak, seed), sizes.peak, seed, watch);
    writePlots(each.name, here, moments, trueCapacity(each.llmShare(0)));
  }
}

const judged = verdicts(rows);
console.log('');
for (const { met, text } of judged) console.log(`${met ? 'met   ' : 'missed'} ${text}`);
console.log(`${Math.round((performance.now() - started) / 1000)} s`);
if (!trial) writeResults({ commit: commit(), seed, rows, verdicts: judged });
process.exitCode = judged.every(({ met }) => met) ? 0 : 1;

function readTrace(file: string): Workload {
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
