import { findCondition } from '../../src/api/conditions.ts';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import { r2rDeployments } from '../../src/controllers/resource-types.ts';
import type { Live } from '../../src/kube/index.ts';
import type { Progress } from '../../test/cluster/progress.ts';
import { countRequests } from './audit.ts';
import { Followed } from './followed.ts';
import { inParallel } from './parallel.ts';
import { CpuMeter, round } from './processes.ts';
import type { Operator, Stage } from './stage.ts';
import { operatorUser } from './stage.ts';
import { namespaceNames, r2rDeployment } from './workload.ts';

export const ourPrefix = 'ours';

export interface Ours {
  /** From the first apply to the last deployment that is Ready and no longer Reconciling. */
  readonly seconds: number;
  readonly applySeconds: number;
  /** API requests of the operator a deployment, by verb and resource; watches and the lease left out of the sum. */
  readonly requestsPerDeployment: number;
  readonly requests: Readonly<Record<string, number>>;
  readonly cpuSeconds: Readonly<Record<string, number>>;
  readonly reconciles: number;
}

/** So many R2RDeployments applied at once while the operator runs. */
export async function measureOurs(stage: Stage, operator: Operator, count: number, progress: Progress): Promise<Ours> {
  await stage.makeNamespaces(namespaceNames(ourPrefix, count));
  await using followed = await Followed.open<R2RDeployment>(stage.admin, r2rDeployments, {
    what: 'R2RDeployments are Ready',
    count,
    timeoutMs: 3_600_000,
    counts: ({ metadata }) => metadata.namespace?.startsWith(`${ourPrefix}-`) ?? false,
    isDone: isReached,
    progress,
  });
  const dataPlane = stage.dataPlane?.pid ?? 0;
  const meter = new CpuMeter(new Map([...stage.cluster.processes, ['operator', operator.pid], ['routers', dataPlane]]));
  const before = stage.cluster.auditLog().length;
  progress(`ours: applying ${count} R2RDeployments`);
  const started = performance.now();
  await inParallel(16, count, async (index) => {
    await stage.admin.apply(r2rDeployments, r2rDeployment(ourPrefix, index));
  });
  const applied = performance.now();
  progress(`ours: applied in ${((applied - started) / 1000).toFixed(1)} s`);
  const finished = await followed.all();
  const cpuSeconds = meter.read();
  const reconciles = await operator.metric('controller_runtime_reconcile_total', 'controller="r2rdeployment"');
  const lines = stage.cluster.auditLog().slice(before);
  const own = lines.filter(
    ({ user, verb, objectRef }) => user.username === operatorUser && verb !== 'watch' && objectRef?.resource !== 'leases',
  );
  return {
    seconds: round((finished - started) / 1000),
    applySeconds: round((applied - started) / 1000),
    requestsPerDeployment: round(own.length / count),
    requests: countRequests(own),
    cpuSeconds,
    reconciles,
  };
}

function isReached({ metadata, status }: Live<R2RDeployment>): boolean {
  const ready = findCondition(status?.conditions, 'Ready');
  const reconciling = findCondition(status?.conditions, 'Reconciling');
  return status?.observedGeneration === metadata.generation && ready?.status === 'True' && reconciling?.status === 'False';
}
