import { pause } from '../../src/kube/clock.ts';
import type { Progress } from '../../test/cluster/progress.ts';
import { countRequests, isWrite } from './audit.ts';
import { CpuMeter, round } from './processes.ts';
import { operatorUser, type Operator, type Stage } from './stage.ts';

export interface Idle {
  readonly seconds: number;
  /** Writes of the operator meanwhile, its lease left out. */
  readonly writes: number;
  readonly requests: Readonly<Record<string, number>>;
  readonly reconciles: number;
  /** Of one core. */
  readonly cpuPercent: number;
}

/** Waits until the operator has written nothing for a while, then counts what it does in a window of several polls. */
export async function measureIdle(stage: Stage, operator: Operator, windowSeconds: number, progress: Progress): Promise<Idle> {
  const writes = (): number => stage.cluster.auditLog().filter((line) => line.user.username === operatorUser && isWrite(line)).length;
  const settleMs = 10_000;
  for (let before = -1, now = writes(); now !== before;) {
    await pause(settleMs);
    [before, now] = [now, writes()];
  }
  // looks become rarer a minute after the last change, and the first of the rarer ones are 90 to 270 s later
  await pause(windowSeconds >= 60 ? 150_000 : 0);
  progress(`idle: counting for ${windowSeconds} s`);
  const reconciled = (): Promise<number> => operator.metric('controller_runtime_reconcile_total');
  const [linesBefore, reconcilesBefore] = [stage.cluster.auditLog().length, await reconciled()];
  const meter = new CpuMeter(new Map([['operator', operator.pid]]));
  await pause(windowSeconds * 1000);
  const cpu = meter.read()['operator'] ?? 0;
  const lines = stage.cluster.auditLog().slice(linesBefore);
  const own = lines.filter(({ user }) => user.username === operatorUser);
  return {
    seconds: windowSeconds,
    writes: own.filter(isWrite).length,
    requests: countRequests(own),
    reconciles: (await reconciled()) - reconcilesBefore,
    cpuPercent: round((100 * cpu) / windowSeconds),
  };
}

export interface Restart {
  /** Until every deployment was looked at again. */
  readonly seconds: number;
  readonly writes: number;
  readonly reconciles: number;
}

/** A new operator looks at every deployment: nothing has changed, so nothing is to be written. */
export async function measureRestart(
  stage: Stage,
  start: () => Promise<Operator>,
  count: number,
): Promise<{ readonly operator: Operator; readonly restart: Restart }> {
  const linesBefore = stage.cluster.auditLog().length;
  const started = performance.now();
  const operator = await start();
  let reconciles = 0;
  while (reconciles < count) {
    if (performance.now() - started > 600_000) throw new Error(`${reconciles} of ${count} reconciled in 10 minutes`);
    await pause(200);
    reconciles = await operator.metric('controller_runtime_reconcile_total', 'controller="r2rdeployment"');
  }
  const seconds = round((performance.now() - started) / 1000);
  // the audit log is written in batches
  await pause(2_000);
  const own = stage.cluster
    .auditLog()
    .slice(linesBefore)
    .filter(({ user }) => user.username === operatorUser);
  return { operator, restart: { seconds, writes: own.filter(isWrite).length, reconciles } };
}
