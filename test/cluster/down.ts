/**
 * Removes the cluster. There is one way only, which assumes nothing about how it was left: everything is found by what it is, killed, unmounted
 * and removed. So it also works after half an `up`, or when every process of the cluster was killed.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { mounts, podProcesses, removeCgroup } from './cgroups.ts';
import { run, tryRun } from './commands.ts';
import { debianProgramPaths } from './debian-packages.ts';
import { closeFirewall, removeNewTables } from './firewall.ts';
import { locked } from './lock.ts';
import { readBefore, removeNewFolders, restoreSysctls } from './machine.ts';
import { removeInterfaces } from './network.ts';
import { killAll, processes } from './processes.ts';
import type { Progress } from './progress.ts';
import { paths, stateFolder } from './settings.ts';

const isInside = (path: string) => path === stateFolder || path.startsWith(`${stateFolder}/`);
const ourMounts = () =>
  mounts()
    .map(({ path }) => path)
    .filter(isInside);

async function unmountAll(): Promise<void> {
  for (const path of ourMounts().reverse()) {
    if ((await tryRun('umount', [path])) === undefined) await tryRun('umount', ['--lazy', path]);
  }
  const left = ourMounts();
  // Deleting the folder would reach through a mount into what it shows.
  if (left.length > 0) throw new Error(`could not unmount ${left.join(', ')}; nothing was deleted`);
}

/** Sockets of containers' shims, which containerd puts into a folder of its own choice and names in each container's bundle. */
function shimSockets(): string[] {
  const bundles = join(paths.containerdRun, 'containerd', 'io.containerd.runtime.v2.task', 'k8s.io');
  if (!existsSync(bundles)) return [];
  return readdirSync(bundles)
    .flatMap((id) => ['address', 'bootstrap.json'].map((file) => join(bundles, id, file)))
    .filter((file) => existsSync(file))
    .flatMap((file) => /\/run\/containerd\/s\/[0-9a-f]+/.exec(readFileSync(file, 'utf8')) ?? []);
}

/** Files that kubelet and the CNI library keep where we can't choose. */
async function removeStrayFiles(): Promise<void> {
  const links = '/var/log/containers';
  for (const name of await readdir(links).catch(() => [])) {
    const path = join(links, name);
    if (isInside(readlinkSync(path))) await rm(path, { force: true });
  }
  const results = '/var/lib/cni/results';
  for (const name of await readdir(results).catch(() => [])) {
    if (name.startsWith('r2r-pods-')) await rm(join(results, name), { force: true });
  }
  const before = await readBefore();
  if (before?.missingFolders.includes('/var/lib/kubelet')) await rm('/var/lib/kubelet', { recursive: true, force: true });
}

/** Removes the local cluster with everything in it; false when there was none. Needs root. */
export async function down(progress: Progress): Promise<boolean> {
  return locked(paths.lock, progress, () => remove(progress));
}

/** {@link down} for a caller that holds the lock. */
export async function remove(progress: Progress): Promise<boolean> {
  const before = await readBefore();
  if (!before && processes().length === 0) {
    await rm(stateFolder, { recursive: true, force: true });
    return false;
  }
  progress('stopping the cluster: killing its programs and all pods');
  await killAll("the cluster's programs", () => processes().map(({ pid }) => pid));
  await killAll('pods', podProcesses);
  await killAll("the cluster's programs", () => processes().map(({ pid }) => pid));
  const sockets = shimSockets();
  await unmountAll();
  progress('removing interfaces, firewall rules and cgroups');
  const { ip, iptables, ip6tables, nft } = await debianProgramPaths(['ip', 'iptables', 'ip6tables', 'nft'], progress);
  await removeInterfaces({ ip });
  await closeFirewall(iptables);
  await closeFirewall(ip6tables);
  await removeCgroup();
  await removeStrayFiles();
  for (const socket of sockets) await rm(socket, { force: true });
  if (before) {
    await removeNewTables(nft, iptables, 'ip', before.tables.iptables);
    await removeNewTables(nft, ip6tables, 'ip6', before.tables.ip6tables);
    await restoreSysctls(before);
    await removeNewFolders(before);
  }
  await run('rm', ['-rf', '--one-file-system', stateFolder]);
  progress('the cluster is gone');
  return true;
}
