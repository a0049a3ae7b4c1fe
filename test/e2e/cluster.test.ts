import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster } from '../cluster/cluster.ts';
import { processes } from '../cluster/processes.ts';
import { until } from '../cluster/progress.ts';
import { paths, settings } from '../cluster/settings.ts';
import { loadBaseImage, sharedCluster, whyNoCluster } from '../cluster/shared.ts';
import { namespaced, type Namespace } from '../cluster/namespace.ts';
import { client, echoServer, pod } from '../cluster/objects.ts';
import { renewVolumes } from '../cluster/volumes.ts';

interface Phase {
  readonly status: { readonly phase: string; readonly conditions?: readonly { readonly reason?: string; readonly message?: string }[] };
}

describe('the local cluster', function () {
  this.timeout(240_000);
  let cluster: Cluster;
  let image: string;
  let namespace: Namespace;

  before(async function () {
    this.timeout(30 * 60_000);
    if (whyNoCluster() !== undefined || process.env.R2R_TEST_CONTEXT) this.skip();
    cluster = await sharedCluster();
    image = await loadBaseImage(cluster);
    namespace = await namespaced(cluster, 'cluster');
    await namespace.apply(...echoServer(image));
    await namespace.apply(...client(image));
    await namespace.kubectl(['rollout', 'status', 'deployment/echo', '--timeout=120s']);
    await namespace.kubectl(['wait', 'pod/client', '--for=condition=Ready', '--timeout=120s']);
  });
  after(async () => {
    await (namespace as Namespace | undefined)?.remove();
  });

  /** Runs JavaScript in the client pod. */
  const inPod = async (code: string) =>
    (await namespace.kubectl(['exec', 'client', '--', 'node', '--input-type=module', '--eval', code])).trim();

  it('has a node that is Ready and advertises the GPUs', async () => {
    const path = 'jsonpath={.items[*].status.allocatable.nvidia\\.com/gpu} {.items[*].status.conditions[?(@.type=="Ready")].status}';
    assert.equal(await cluster.kubectl(['get', 'nodes', `--output=${path}`]), `${settings.gpus} True`);
  });

  it('runs a pod that asks for GPUs and leaves one that asks for more than are left Unschedulable', async () => {
    await namespace.apply(pod('two', image, { resources: { limits: { 'nvidia.com/gpu': 2 } } }));
    await namespace.kubectl(['wait', 'pod/two', '--for=condition=Ready', '--timeout=60s']);
    await namespace.apply(pod('seven', image, { resources: { limits: { 'nvidia.com/gpu': settings.gpus - 1 } } }));
    const { status } = await until('the second pod is refused a node', 30_000, async () => {
      const seven = await namespace.get<Phase>('pod/seven');
      return seven.status.conditions?.some(({ reason }) => reason === 'Unschedulable') ? seven : undefined;
    });
    assert.equal(status.phase, 'Pending');
    assert.match(status.conditions?.[0]?.message ?? '', /Insufficient nvidia.com\/gpu/);
    await namespace.kubectl(['delete', 'pod/two', '--now']);
    await namespace.kubectl(['wait', 'pod/seven', '--for=condition=Ready', '--timeout=60s']);
  });

  it('balances a ClusterIP Service, by its short name, over the pods behind it', async () => {
    const names = await inPod(`
      const names = new Set();
      for (let i = 0; i < 200 && names.size < 2; i++) names.add(await (await fetch('http://echo', { headers: { connection: 'close' } })).text());
      console.log([...names].sort().join(' '));`);
    const pods = await namespace.kubectl(['get', 'pods', '--selector=app=echo', '--output=jsonpath={.items[*].metadata.name}']);
    assert.deepEqual(names.split(' '), pods.split(' ').sort());
  });

  it("resolves a headless Service to its pods' addresses, and an unknown name to nothing", async () => {
    const addresses = await inPod(`
      import { promises as dns } from 'node:dns';
      const found = await dns.lookup('echo-pods.' + (await import('node:fs')).readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/namespace') + '.svc.cluster.local', { all: true, family: 4 });
      const missing = await dns.lookup('nothing-here').catch((error) => error.code);
      console.log(JSON.stringify([found.map(({ address }) => address).sort(), missing]));`);
    const pods = await namespace.kubectl(['get', 'pods', '--selector=app=echo', '--output=jsonpath={.items[*].status.podIP}']);
    assert.deepEqual(JSON.parse(addresses), [pods.split(' ').sort(), 'ENOTFOUND']);
  });

  it('lets a pod talk to the API server as its service account, which may do what its Role allows and no more', async () => {
    const statuses = await inPod(`
      import { readFileSync } from 'node:fs';
      import { request } from 'node:https';
      const folder = '/var/run/secrets/kubernetes.io/serviceaccount/';
      const read = (name) => readFileSync(folder + name, 'utf8');
      const status = (path) => new Promise((resolve, reject) => request('https://kubernetes.default.svc' + path,
        { ca: read('ca.crt'), headers: { authorization: 'Bearer ' + read('token') } }, (response) => { response.resume(); resolve(response.statusCode); }).on('error', reject).end());
      const here = '/api/v1/namespaces/' + read('namespace');
      console.log(await status(here + '/pods'), await status(here + '/secrets'));`);
    assert.equal(statuses, '200 403');
  });

  it('shows logs', async () => {
    const logs = await namespace.kubectl(['logs', '--selector=app=echo', '--tail=-1', '--prefix']);
    assert.match(logs, /echo listens/);
  });

  it('forwards a port of the machine into a pod', async () => {
    const forward = spawn(cluster.kubectlPath, [...cluster.kubectlArgs, ...namespace.flags, 'port-forward', 'service/echo', ':80']);
    try {
      const [line] = (await once(forward.stdout.setEncoding('utf8'), 'data')) as [string];
      const port = /127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      const answer = await (await fetch(`http://127.0.0.1:${port ?? ''}/`)).text();
      assert.match(answer, /^echo-/);
    } finally {
      forward.kill();
      await once(forward, 'close');
    }
  });

  it('reaches pods and Services from the machine itself', async () => {
    const address = await namespace.kubectl(['get', 'service/echo', '--output=jsonpath={.spec.clusterIP}']);
    assert.match(await (await fetch(`http://${address}/`)).text(), /^echo-/);
  });

  it('enforces the restricted pod security standard where a namespace asks for it', async () => {
    const restricted = await namespaced(cluster, 'restricted', { 'pod-security.kubernetes.io/enforce': 'restricted' });
    try {
      await assert.rejects(restricted.apply(pod('root', image)), /violates PodSecurity/);
      const security = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] }, readOnlyRootFilesystem: true };
      const identity = { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: 'RuntimeDefault' } };
      await restricted.apply(pod('careful', image, { securityContext: { ...security, ...identity } }));
      await restricted.kubectl(['wait', 'pod/careful', '--for=condition=Ready', '--timeout=60s']);
    } finally {
      await restricted.remove();
    }
  });

  it('mounts a folder of the machine through a persistent volume and its claim', async () => {
    const spec = { accessModes: ['ReadWriteMany'], storageClassName: '', volumeName: `${namespace.name}-notes` };
    await namespace.apply(
      {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: spec.volumeName },
        spec: {
          capacity: { storage: '1Mi' },
          accessModes: spec.accessModes,
          storageClassName: '',
          hostPath: { path: import.meta.dirname, type: 'Directory' },
          claimRef: { namespace: namespace.name, name: 'notes' },
        },
      },
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'notes' },
        spec: { ...spec, resources: { requests: { storage: '1Mi' } } },
      },
    );
    try {
      const volumes = [{ name: 'notes', persistentVolumeClaim: { claimName: 'notes', readOnly: true } }];
      await namespace.apply(pod('reader', image, { volumeMounts: [{ name: 'notes', mountPath: '/notes', readOnly: true }] }, { volumes }));
      await namespace.kubectl(['wait', 'pod/reader', '--for=condition=Ready', '--timeout=60s']);
      assert.match(await namespace.kubectl(['exec', 'reader', '--', 'ls', '/notes']), /cluster\.test\.ts/);
    } finally {
      await namespace.kubectl(['delete', 'pod/reader', '--now', '--ignore-not-found']);
      await cluster.kubectl(['delete', `persistentvolume/${spec.volumeName}`, '--wait=false']);
    }
  });

  it('has volumes for claims without a class, which pods without rights can write, and empties them for the next ones', async () => {
    const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '100Gi' } } };
    await namespace.apply({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'work' }, spec: claim });
    const securityContext = { runAsUser: 10_001, runAsGroup: 10_001, fsGroup: 10_001 };
    const volumes = [{ name: 'work', persistentVolumeClaim: { claimName: 'work' } }];
    await namespace.apply(pod('writer', image, { volumeMounts: [{ name: 'work', mountPath: '/work' }] }, { securityContext, volumes }));
    await namespace.kubectl(['wait', 'pod/writer', '--for=condition=Ready', '--timeout=60s']);
    await namespace.kubectl(['exec', 'writer', '--', 'touch', '/work/kept']);
    const name = await namespace.kubectl(['get', 'pvc/work', '--output=jsonpath={.spec.volumeName}']);
    const file = join(paths.volumes, name, 'kept');
    const phase = () => cluster.kubectl(['get', `pv/${name}`, '--output=jsonpath={.status.phase}']);
    await renewVolumes((args, options) => cluster.kubectl(args, options));
    assert.equal(await phase(), 'Bound');
    assert.ok(existsSync(file), 'a volume in use was emptied');
    await namespace.kubectl(['delete', 'pod/writer', 'pvc/work', '--now']);
    await until('its claim is seen to be gone', 30_000, async () => (await phase()) === 'Released');
    await renewVolumes((args, options) => cluster.kubectl(args, options));
    await until('it can be claimed again', 30_000, async () => (await phase()) === 'Available');
    assert.equal(existsSync(file), false);
  });

  it('collects what belongs to a deleted object', async () => {
    await namespace.apply(...echoServer(image, 'brief'));
    await namespace.kubectl(['rollout', 'status', 'deployment/brief', '--timeout=60s']);
    await namespace.kubectl(['delete', 'deployment/brief']);
    await until('its pods are gone', 60_000, async () => {
      return (await namespace.kubectl(['get', 'pods', '--selector=app=brief', '--output=name'])) === '';
    });
  });

  it('is left alone by a second `up`', async () => {
    const before = processes().map(({ pid, name }) => `${name} ${pid}`);
    const again = await sharedCluster();
    assert.equal(again.startedHere, false);
    assert.deepEqual(
      processes().map(({ pid, name }) => `${name} ${pid}`),
      before,
    );
  });
});
