/** What examples/r2rdeployment-sglang-cpu.yaml finds on the local cluster: its image, and the claim that brings SGLang's packages. */
import type { Cluster } from '../../test/cluster/cluster.ts';
import type { Progress } from '../../test/cluster/progress.ts';
import { loadSglangImage } from './image.ts';
import { installSGLang } from './install.ts';

const claim = 'sglang';
const volumeName = (namespace: string) => `${claim}-${namespace}`;

/** A claim `sglang`, bound to a folder of the node that pods can only read. */
function packagesClaim(namespace: string, sitePackages: string): readonly object[] {
  const common = { accessModes: ['ReadOnlyMany'], storageClassName: '' };
  return [
    {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata: { name: volumeName(namespace) },
      spec: {
        ...common,
        capacity: { storage: '7Gi' },
        persistentVolumeReclaimPolicy: 'Retain',
        hostPath: { path: sitePackages, type: 'Directory' },
        claimRef: { namespace, name: claim },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: claim, namespace },
      spec: { ...common, volumeName: volumeName(namespace), resources: { requests: { storage: '7Gi' } } },
    },
  ];
}

async function assertClaim(cluster: Cluster, namespace: string): Promise<void> {
  const found = await cluster.kubectl(['get', 'persistentvolumeclaim', claim, `--namespace=${namespace}`, '--ignore-not-found']);
  if (found !== '') return;
  throw new Error(
    `Context ${cluster.context} has no claim "${claim}" in namespace ${namespace}, and only the local cluster gets one by itself: ` +
      'make it, and the image, as docs/sglang-on-cpu.md says, then try again.',
  );
}

/** Installs SGLang, loads the image into the local node and makes the claim in a namespace that exists. May be repeated. On an existing cluster: only checks the claim. */
export async function provideSglang(cluster: Cluster, namespace: string, progress: Progress): Promise<void> {
  if (!cluster.isLocal) {
    await assertClaim(cluster, namespace);
    return;
  }
  const { sitePackages } = await installSGLang(progress);
  await loadSglangImage(cluster, progress);
  // A volume whose claim went with an earlier namespace is never bound again.
  const path = ['persistentvolume', volumeName(namespace), '--ignore-not-found'];
  const phase = await cluster.kubectl(['get', ...path, '--output=jsonpath={.status.phase}']);
  if (phase === 'Released' || phase === 'Failed') await cluster.kubectl(['delete', ...path]);
  await cluster.kubectl(['apply', '--filename=-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: packagesClaim(namespace, sitePackages) }),
  });
  progress(`claim ${claim} in namespace ${namespace}: ${sitePackages}`);
}

/** Removes what outlives the namespace. The packages themselves stay on the machine. */
export async function removeVolume(cluster: Cluster, namespace: string): Promise<void> {
  await cluster.kubectl(['delete', 'persistentvolume', volumeName(namespace), '--ignore-not-found', '--wait=false']);
}
