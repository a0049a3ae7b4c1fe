import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import { r2rDeployments } from '../../src/controllers/resource-types.ts';
import { tiedToAccount } from '../../src/controllers/account.ts';
import { deployments, KubeClient } from '../../src/kube/index.ts';
import type { Live } from '../../src/kube/index.ts';
import type { Deployment } from '../../src/kube/resources.ts';
import type { KubeObject } from '../../src/manifests/index.ts';
import type { Progress } from '../../test/cluster/progress.ts';
import { Followed } from './followed.ts';
import { directKinds } from './objects.ts';
import { inParallel } from './parallel.ts';
import { CpuMeter, round } from './processes.ts';
import type { Stage } from './stage.ts';
import { childrenOf, namespaceNames, r2rDeployment } from './workload.ts';

export interface Floor {
  /** From the first apply to the last Available Deployment. */
  readonly seconds: number;
  /** Of it, until the last apply was answered. */
  readonly applySeconds: number;
  readonly objects: number;
  readonly cpuSeconds: Readonly<Record<string, number>>;
}

export const floorPrefix = 'floor';

/** Applies at the same time: 32 is where this API server's throughput on two cores stops growing. */
const width = 32;

const childTypes = new Map(directKinds.map((type) => [type.kind, type]));

/**
 * The children of so many deployments, applied by a plain loop while no operator runs. Their owners exist, or the garbage collector would take
 * them away; what is rendered is rendered before the clock starts.
 */
export async function measureFloor(stage: Stage, count: number, progress: Progress): Promise<Floor> {
  await stage.makeNamespaces(namespaceNames(floorPrefix, count));
  const owners: Live<R2RDeployment>[] = [];
  await inParallel(16, count, async (index) => {
    owners[index] = await stage.admin.create(r2rDeployments, r2rDeployment(floorPrefix, index));
  });
  const rendered = owners.map((owner) => childrenOf(owner));
  const total = rendered.reduce((sum, { length }) => sum + length, 0);
  progress(`floor: applying ${total} objects of ${count} deployments in a plain loop`);
  // with the operator's own credentials: the API server treats both alike
  const client = KubeClient.fromConfig(stage.cluster.kubeConfig(stage.operatorToken), { fieldManager: 'r2r-operator' });
  await using followed = await Followed.open<Deployment>(stage.admin, deployments, {
    what: 'Deployments are Available',
    count: 2 * count,
    timeoutMs: 1_800_000,
    counts: ({ metadata }) => metadata.namespace?.startsWith(`${floorPrefix}-`) ?? false,
    isDone: isAvailable,
    progress,
  });
  const meter = new CpuMeter(new Map([...stage.cluster.processes, ['loop', process.pid]]));
  const started = performance.now();
  await inParallel(width, count, async (index) => applyAll(client, rendered[index] ?? []));
  const applied = performance.now();
  progress(`floor: applied in ${((applied - started) / 1000).toFixed(1)} s`);
  const finished = await followed.all();
  const cpuSeconds = meter.read();
  await client.close();
  return { seconds: round((finished - started) / 1000), applySeconds: round((applied - started) / 1000), objects: total, cpuSeconds };
}

async function applyAll(client: KubeClient, manifests: readonly KubeObject[]): Promise<void> {
  let accountUid: string | undefined;
  for (const manifest of manifests) {
    const type = childTypes.get(manifest.kind);
    if (!type) throw new TypeError(`no resource type for ${manifest.kind}`);
    const { metadata } = await client.apply(type, tiedToAccount(manifest, accountUid));
    if (manifest.kind === 'ServiceAccount') accountUid = metadata.uid;
  }
}

function isAvailable({ status, metadata, spec }: Live<Deployment>): boolean {
  const isNewest = (status?.observedGeneration ?? -1) >= (metadata.generation ?? 0);
  return isNewest && (status?.availableReplicas ?? 0) >= (spec?.replicas ?? 1);
}
