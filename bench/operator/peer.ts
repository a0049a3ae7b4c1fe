import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { customResourceDefinitions, KubeClient, replicaSets, pods, resourceType } from '../../src/kube/index.ts';
import type { KubeObject, Manifest, ResourceType } from '../../src/kube/index.ts';
import { until, type Progress } from '../../test/cluster/progress.ts';
import { goTool, moduleFolder, peer, toolVersion } from '../../test/simulated/go-tool.ts';
import { clientRequestsPerSecond } from '../../test/simulated/programs.ts';
import { Followed } from './followed.ts';
import { inParallel } from './parallel.ts';
import { countObjects, sum } from './objects.ts';
import { CpuMeter, memoryMb, round } from './processes.ts';
import { peerUser, type Stage } from './stage.ts';
import { namespaceNames, placeOf } from './workload.ts';

interface Rollout extends KubeObject {
  readonly status?: { readonly phase?: string; readonly observedGeneration?: string };
}

const rollouts = resourceType<Rollout>({
  group: 'argoproj.io',
  version: 'v1alpha1',
  plural: 'rollouts',
  kind: 'Rollout',
  namespaced: true,
});
export const peerKinds: readonly ResourceType[] = [rollouts];
export const peerPrefix = 'peer';

export interface Peer {
  readonly name: string;
  readonly seconds: number;
  readonly applySeconds: number;
  /** Below its objects, by kind. */
  readonly objects: Readonly<Record<string, number>>;
  readonly objectsPerSecond: number;
  readonly peakMemoryMb: number;
  readonly cpuSeconds: Readonly<Record<string, number>>;
}

/**
 * Argo Rollouts, as it comes but for the client limits that all get here, with as many Rollouts of two pods as there were R2RDeployments,
 * each of which has two pods, too.
 */
export async function measurePeer(stage: Stage, count: number, progress: Progress): Promise<Peer> {
  const program = await goTool(peer, progress);
  await installPeer(stage.admin);
  const token = stage.cluster.tokens.get(peerUser);
  const kubeconfig = stage.cluster.kubeconfigFile('peer.kubeconfig', token);
  const logFile = join(stage.cluster.folder, 'peer.log');
  const log = openSync(logFile, 'a');
  const limits = ['--qps', String(clientRequestsPerSecond), '--burst', String(clientRequestsPerSecond)];
  const command = [program, '--kubeconfig', kubeconfig, '--namespace', 'argo-rollouts', '--loglevel', 'warn', ...limits];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...command], { stdio: ['ignore', log, log] });
  closeSync(log);
  const { pid = 0 } = child;
  try {
    await stage.makeNamespaces([...namespaceNames(peerPrefix, count)]);
    await using followed = await Followed.open<Rollout>(stage.admin, rollouts, {
      what: 'Rollouts are Healthy',
      count,
      timeoutMs: 3_600_000,
      counts: () => true,
      isDone: ({ status, metadata }) => status?.phase === 'Healthy' && status.observedGeneration === String(metadata.generation),
      progress,
    });
    await warmUp(stage.admin, followed, () => child.exitCode !== null && readFileSync(logFile, 'utf8').slice(-2000));
    const meter = new CpuMeter(new Map([...stage.cluster.processes, ['peer', pid]]));
    progress(`peer: applying ${count} Rollouts`);
    const started = performance.now();
    await inParallel(16, count, async (index) => {
      await stage.admin.apply(rollouts, rollout(placeOf(peerPrefix, index)));
    });
    const applied = performance.now();
    const finished = await followed.all();
    const cpuSeconds = meter.read();
    const objects = await countObjects(stage.admin, peerPrefix, [replicaSets, pods] as readonly ResourceType[]);
    const seconds = (finished - started) / 1000;
    return {
      name: `Argo Rollouts v${await toolVersion(peer)}`,
      seconds: round(seconds),
      applySeconds: round((applied - started) / 1000),
      objects,
      objectsPerSecond: round(sum(objects) / seconds),
      peakMemoryMb: round(memoryMb(pid).peak),
      cpuSeconds,
    };
  } finally {
    child.kill('SIGKILL');
  }
}

/** One Rollout, made and removed: the clock must not count the controller's start. */
async function warmUp(client: KubeClient, followed: Followed<Rollout>, hasEnded: () => string | false): Promise<void> {
  const key = { namespace: `${peerPrefix}-0`, name: 'first' };
  await client.apply(rollouts, rollout(key));
  await until('the first Rollout is Healthy', 120_000, () => {
    const lastWords = hasEnded();
    if (lastWords !== false) throw new Error(`the peer has ended: ${lastWords}`);
    return Promise.resolve(followed.doneCount === 1);
  });
  await client.delete(rollouts, key, { propagation: 'Foreground' });
  await until('it is gone', 120_000, async () => followed.doneCount === 0 && (await client.find(rollouts, key)) === undefined);
}

async function installPeer(client: KubeClient): Promise<void> {
  const file = join(await moduleFolder(peer), 'manifests/install.yaml');
  for (const document of parseAllDocuments(readFileSync(file, 'utf8'))) {
    const object = document.toJS() as Manifest | null;
    if (object?.kind === 'CustomResourceDefinition') await client.apply(customResourceDefinitions, object);
  }
  const binding = resourceType({
    group: 'rbac.authorization.k8s.io',
    version: 'v1',
    plural: 'clusterrolebindings',
    kind: 'ClusterRoleBinding',
    namespaced: false,
  });
  await client.apply(binding, {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'peer' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: peerUser }],
  });
  await client.apply(resourceType({ group: '', version: 'v1', plural: 'namespaces', kind: 'Namespace', namespaced: false }), {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'argo-rollouts' },
  });
  await until('Rollouts are served', 60_000, async () => (await client.list(rollouts)).resourceVersion !== '');
}

function rollout({ namespace, name }: { readonly namespace: string; readonly name: string }): Manifest {
  const labels = { app: name };
  const container = { name: 'main', image: 'registry.example/app:1', resources: { requests: { cpu: '4', memory: '16Gi' } } };
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Rollout',
    metadata: { namespace, name },
    spec: {
      replicas: 2,
      selector: { matchLabels: labels },
      strategy: { canary: {} },
      template: { metadata: { labels }, spec: { containers: [container] } },
    },
  };
}
