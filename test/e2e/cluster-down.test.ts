import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { mounts, podProcesses } from '../cluster/cgroups.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { run } from '../cluster/commands.ts';
import { debianProgramPaths } from '../cluster/debian-packages.ts';
import { down } from '../cluster/down.ts';
import { namespaced } from '../cluster/namespace.ts';
import { processes, signal } from '../cluster/processes.ts';
import { until } from '../cluster/progress.ts';
import { pauseImage, stateFolder } from '../cluster/settings.ts';
import { progress, sharedCluster, startedByTests, whyNoCluster } from '../cluster/shared.ts';
import { otherUsers } from '../cluster/users.ts';

/** What others make on the same machine meanwhile: the sandbox's own control groups, image builds. */
const isOthers = (path: string) => /process_api|\.building-|buildah|\.lock$/.test(path);

interface MachineState {
  /** Things of which none may come to stay. */
  readonly things: readonly string[];
  /** Texts that must be the same afterwards. */
  readonly texts: Readonly<Record<string, string>>;
}

/** Everything of the machine that a cluster touches. */
async function machineState(): Promise<MachineState> {
  const { ip, iptables, ip6tables } = await debianProgramPaths(['ip', 'iptables', 'ip6tables'], progress);
  const links = JSON.parse(await run(ip, ['-json', 'address', 'show'])) as { ifname: string }[];
  const firewall = async (program: string) => (await run(`${program}-save`, [])).replace(/^#.*\n/gm, '').replace(/\[\d+:\d+\]/g, '');
  const things = [
    ...links.map(({ ifname }) => `interface ${ifname}`),
    ...mounts().map(({ path }) => `mount ${path}`),
    ...globSync('/sys/fs/cgroup/**/', { exclude: ['/sys/fs/cgroup/**/*.*'] }).map((path) => `cgroup ${path}`),
    ...['/var/lib/*', '/run/*', '/var/log/*'].flatMap((pattern) => globSync(pattern)).map((path) => `folder ${path}`),
  ];
  return {
    things: things.filter((thing) => !isOthers(thing)),
    texts: {
      routes: await run(ip, ['route', 'show', 'table', 'all']),
      firewall4: await firewall(iptables),
      firewall6: await firewall(ip6tables),
      settings: await run('cat', ['/proc/sys/net/ipv4/ip_forward', '/proc/sys/vm/overcommit_memory', '/proc/sys/kernel/panic']),
    },
  };
}

async function assertNothingIsLeft(before: MachineState): Promise<void> {
  assert.deepEqual(processes(), []);
  assert.deepEqual(podProcesses(), []);
  assert.equal(existsSync(stateFolder), false);
  // The kernel frees some things a moment after their last user is gone.
  await until('the machine is as it was', 20_000, async () => {
    const { things, texts } = await machineState();
    assert.deepEqual(texts, before.texts);
    assert.deepEqual(
      things.filter((thing) => !before.things.includes(thing)),
      [],
    );
    return true;
  });
}

/** Pods with what has to be taken away again: network links, mounted volumes, cgroups, a Service's firewall rules. */
async function runSomePods(cluster: Cluster): Promise<void> {
  const namespace = await namespaced(cluster, 'leaks');
  const metadata = { labels: { app: 'leaky' } };
  const container = { name: 'main', image: pauseImage, volumeMounts: [{ name: 'memory', mountPath: '/memory' }] };
  const template = { metadata, spec: { containers: [container], volumes: [{ name: 'memory', emptyDir: { medium: 'Memory' } }] } };
  await namespace.apply(
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'leaky' },
      spec: { replicas: 2, selector: { matchLabels: metadata.labels }, template },
    },
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'leaky' }, spec: { selector: metadata.labels, ports: [{ port: 80 }] } },
  );
  await namespace.kubectl(['rollout', 'status', 'deployment/leaky', '--timeout=120s']);
}

describe('taking the local cluster down', function () {
  this.timeout(300_000);
  let initially: MachineState;

  before('there is no cluster', async function () {
    this.timeout(30 * 60_000);
    if (whyNoCluster() !== undefined || process.env.R2R_TEST_CONTEXT) this.skip();
    // A developer's own cluster is not ours to remove, nor one that another run uses.
    if (processes().length > 0 && (!startedByTests() || (await otherUsers()).length > 0)) this.skip();
    await down(progress);
    initially = await machineState();
  });

  it('leaves no process, mount, interface, firewall rule, cgroup or folder behind', async () => {
    await runSomePods(await sharedCluster());
    assert.equal(await down(progress), true);
    await assertNothingIsLeft(initially);
  });

  it('does so too when every program of the cluster was killed and its pods live on', async () => {
    await runSomePods(await sharedCluster());
    for (const { pid, name } of processes()) if (name !== 'containerd-shim-runc-v2') signal(pid, 'SIGKILL');
    assert.notDeepEqual(podProcesses(), []);
    assert.equal(await down(progress), true);
    await assertNothingIsLeft(initially);
  });

  it('does so too when `up` was killed half way', async () => {
    const up = spawn(process.execPath, [join(import.meta.dirname, '../cluster/main.ts'), 'up'], { stdio: ['ignore', 'ignore', 'pipe'] });
    let text = '';
    up.stderr.setEncoding('utf8').on('data', (more: string) => {
      text += more;
      if (text.includes('kubelet')) up.kill('SIGKILL');
    });
    await once(up, 'close');
    assert.equal(up.signalCode, 'SIGKILL', text);
    assert.notDeepEqual(processes(), []);
    assert.equal(await down(progress), true);
    await assertNothingIsLeft(initially);
  });

  it('says that there is none when there is none', async () => {
    assert.equal(await down(progress), false);
    await assertNothingIsLeft(initially);
  });
});
