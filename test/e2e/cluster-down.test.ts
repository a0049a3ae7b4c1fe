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
import { echoServer, pod } from '../cluster/objects.ts';
import { processes, signal } from '../cluster/processes.ts';
import { until } from '../cluster/progress.ts';
import { stateFolder } from '../cluster/settings.ts';
import { loadBaseImage, progress, sharedCluster, startedByTests, whyNoCluster } from '../cluster/shared.ts';

/** Everything of the machine that a cluster touches, as text. */
async function machineState(): Promise<Record<string, string>> {
  const { ip, iptables, ip6tables } = await debianProgramPaths(['ip', 'iptables', 'ip6tables'], progress);
  const links = JSON.parse(await run(ip, ['-json', 'address', 'show'])) as { ifname: string }[];
  const firewall = async (program: string) => (await run(`${program}-save`, [])).replace(/^#.*\n/gm, '').replace(/\[\d+:\d+\]/g, '');
  const counted = (paths: string[]) => paths.sort().join('\n');
  return {
    interfaces: counted(links.map(({ ifname }) => ifname)),
    routes: await run(ip, ['route', 'show', 'table', 'all']),
    firewall4: await firewall(iptables),
    firewall6: await firewall(ip6tables),
    mounts: counted(mounts().map(({ path }) => path)),
    cgroups: counted(globSync('/sys/fs/cgroup/**/', { exclude: ['/sys/fs/cgroup/**/*.*'] }).filter((path) => !path.includes('buildah'))),
    forwarding: await run('cat', ['/proc/sys/net/ipv4/ip_forward', '/proc/sys/vm/overcommit_memory', '/proc/sys/kernel/panic']),
    folders: counted(['/var/lib/*', '/run/*', '/var/log/*'].flatMap((pattern) => globSync(pattern))),
  };
}

async function assertNothingIsLeft(before: Record<string, string>): Promise<void> {
  assert.deepEqual(processes(), []);
  assert.deepEqual(podProcesses(), []);
  assert.equal(existsSync(stateFolder), false);
  // The kernel frees some things a moment after their last user is gone.
  await until('the machine is as it was', 20_000, async () => {
    assert.deepEqual(await machineState(), before);
    return true;
  });
}

async function runSomePods(cluster: Cluster): Promise<void> {
  const image = await loadBaseImage(cluster);
  const namespace = await namespaced(cluster, 'leaks');
  const volumes = [{ name: 'memory', emptyDir: { medium: 'Memory' } }];
  await namespace.apply(
    ...echoServer(image),
    // A process that ignores every polite request to stop, in a namespace of its own, with a mounted tmpfs.
    pod(
      'stubborn',
      image,
      {
        command: ['sh', '-c', 'trap "" TERM INT HUP; while true; do sleep 1000; done'],
        volumeMounts: [{ name: 'memory', mountPath: '/memory' }],
      },
      { volumes },
    ),
  );
  await namespace.kubectl(['wait', 'pod/stubborn', '--for=condition=Ready', '--timeout=60s']);
  await namespace.kubectl(['rollout', 'status', 'deployment/echo', '--timeout=60s']);
}

describe('taking the local cluster down', function () {
  this.timeout(300_000);
  let initially: Record<string, string>;

  before('there is no cluster', async function () {
    this.timeout(30 * 60_000);
    if (whyNoCluster() !== undefined || process.env.R2R_TEST_CONTEXT) this.skip();
    // A developer's own cluster is not ours to remove.
    if (processes().length > 0 && !startedByTests()) this.skip();
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
