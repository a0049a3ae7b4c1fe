/**
 * The operator with so many deployments, on a control plane of its own whose nodes and pods are kwok's: `npm run bench:operator`. In one run:
 * the floor (the same child objects, applied by a plain loop), the operator (all applied at once until all are Ready), what it does while
 * nothing changes, a restart, and a peer controller with as many objects of its own. Writes bench/results/operator.json and fails when an aim
 * is missed.
 *
 *   node bench/operator.ts [--deployments N]   1,000 unless told otherwise
 *                          [--trial FILE]      write the results there instead: other numbers than those that are published
 *                          [--source]          run src/ instead of compiling it first
 *                          [--no-build]        take dist/ as it is
 *                          [--no-peer] [--no-floor] [--idle-seconds S]
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { stderrProgress } from '../test/cluster/progress.ts';
import { floorPrefix, measureFloor, type Floor } from './operator/floor.ts';
import { measureIdle, measureRestart } from './operator/idle.ts';
import { allKinds, clear, countObjects, directKinds, sum } from './operator/objects.ts';
import { measureOurs, ourPrefix } from './operator/ours.ts';
import { enterOwnNamespaces } from './operator/own-namespaces.ts';
import { measurePeer } from './operator/peer.ts';
import { memoryMb, round } from './operator/processes.ts';
import { aims, type OperatorResults } from './operator/results.ts';
import { Stage } from './operator/stage.ts';
import { namespaceNames } from './operator/workload.ts';
import { r2rDeployments } from '../src/controllers/resource-types.ts';
import type { ResourceType } from '../src/kube/index.ts';

const { values } = parseArgs({
  options: {
    deployments: { type: 'string', default: '1000' },
    trial: { type: 'string' },
    source: { type: 'boolean', default: false },
    'no-build': { type: 'boolean', default: false },
    'no-peer': { type: 'boolean', default: false },
    'no-floor': { type: 'boolean', default: false },
    'idle-seconds': { type: 'string', default: '180' },
  },
});
const count = Number(values.deployments);

enterOwnNamespaces();
// so that what cleans up at the process's end does
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1));
const progress = stderrProgress();
progress('the data plane is emulated: kwok plays nodes and pods, one process answers for all routers');
if (!values.source && !values['no-build']) {
  progress('compiling the operator');
  const built = spawnSync(process.execPath, [join(import.meta.dirname, '../tools/build.ts')], { stdio: 'inherit' });
  if (built.status !== 0) process.exit(1);
}

const stage = await Stage.set(Math.max(4, Math.ceil(count / 50)), progress);
const owners = [r2rDeployments] as unknown as readonly ResourceType[];
let floor: Floor | undefined;
if (!values['no-floor']) {
  floor = await measureFloor(stage, count, progress);
  progress(`floor: ${floor.seconds} s, CPU ${JSON.stringify(floor.cpuSeconds)}`);
  await clear(stage.admin, namespaceNames(floorPrefix, count), owners, progress);
}

let operator = await stage.startOperator(!values.source);
progress(`operator leads, ${memoryMb(operator.pid).now.toFixed(0)} MB`);
const ours = await measureOurs(stage, operator, count, progress);
progress(
  `ours: ${ours.seconds} s, CPU ${JSON.stringify(ours.cpuSeconds)}, ${ours.reconciles} reconciles, ${memoryMb(operator.pid).peak.toFixed(0)} MB`,
);
progress(`ours: ${JSON.stringify(ours.requests)}`);
const idle = await measureIdle(stage, operator, Number(values['idle-seconds']), progress);
progress(`idle: ${JSON.stringify(idle)}`);
const peaks = [memoryMb(operator.pid).peak];
await operator.stop();
const restarted = await measureRestart(stage, () => stage.startOperator(!values.source), count);
operator = restarted.operator;
peaks.push(memoryMb(operator.pid).peak);
progress(`restart: ${JSON.stringify(restarted.restart)}, ${peaks.map((peak) => peak.toFixed(0)).join(' and ')} MB`);

const direct = sum(await countObjects(stage.admin, ourPrefix, directKinds));
const all = sum(await countObjects(stage.admin, ourPrefix, allKinds));
await operator.stop();
let peer;
if (!values['no-peer']) {
  await clear(stage.admin, namespaceNames(ourPrefix, count), owners, progress);
  peer = await measurePeer(stage, count, progress);
  progress(`peer: ${JSON.stringify(peer)}`);
}
await stage.end();

const results: OperatorResults = {
  machine: `${cpus().length} x ${cpus()[0]?.model ?? 'CPU'}, shared`,
  node: process.version,
  deployments: count,
  readySeconds: ours.seconds,
  readyApplySeconds: ours.applySeconds,
  floorSeconds: floor?.seconds ?? NaN,
  floorApplySeconds: floor?.applySeconds ?? NaN,
  idleWrites: idle.writes,
  restartWrites: restarted.restart.writes,
  idleCpuPercent: idle.cpuPercent,
  peakMemoryMb: round(Math.max(...peaks)),
  requestsPerDeployment: ours.requestsPerDeployment,
  children: { direct: round(direct / count), all: round(all / count) },
  objectsPerSecond: round(all / ours.seconds),
  ...(peer && { peer }),
  ...(floor && { floor }),
  ours,
  idle,
  restart: restarted.restart,
};
const judged = aims(results);
for (const { what, value, sense, aim, met } of judged)
  console.log(`${met ? 'met   ' : 'MISSED'} ${what}: ${round(value, 2)} (aim ${sense} ${aim})`);
const target = values.trial ?? join(import.meta.dirname, 'results/operator.json');
mkdirSync(join(target, '..'), { recursive: true });
writeFileSync(target, `${JSON.stringify({ ...results, aims: judged }, null, 2)}\n`);
console.log(`written to ${target}`);
process.exit(judged.every(({ met }) => met) ? 0 : 1);
