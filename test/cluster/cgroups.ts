/** The cgroup above all pods, in each hierarchy of this machine (version 1, 2, or both): where it is made, emptied and removed. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from './progress.ts';
import { settings } from './settings.ts';

export interface Mount {
  readonly path: string;
  readonly type: string;
}

/** The mounts in the text of /proc/self/mountinfo, oldest first. */
export function parseMounts(mountinfo: string): Mount[] {
  const unescape = (path: string) => path.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
  return mountinfo
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [mount = '', fileSystem = ''] = line.split(' - ');
      return { path: unescape(mount.split(' ')[4] ?? ''), type: fileSystem.split(' ')[0] ?? '' };
    });
}

export const mounts = (): Mount[] => parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));

const hierarchies = (): Mount[] => mounts().filter(({ type }) => type === 'cgroup' || type === 'cgroup2');
const ourFolders = (): string[] => hierarchies().map(({ path }) => join(path, settings.cgroup));

/** kubelet makes the groups of pods but not the one above them. */
export async function createCgroup(): Promise<void> {
  for (const { path, type } of hierarchies()) {
    const folder = join(path, settings.cgroup);
    if (type === 'cgroup2' && existsSync(join(path, 'cgroup.controllers'))) {
      const controllers = readFileSync(join(path, 'cgroup.controllers'), 'utf8').trim().split(/\s+/).filter(Boolean);
      const wanted = controllers.filter((name) => ['cpu', 'cpuset', 'io', 'memory', 'pids', 'hugetlb'].includes(name));
      if (wanted.length > 0) await writeFile(join(path, 'cgroup.subtree_control'), wanted.map((name) => `+${name}`).join(' '));
    }
    await mkdir(folder, { recursive: true });
    // In version 1 a new cpuset is empty, and no process could join it.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (type === 'cgroup' && existsSync(join(path, file)) && readFileSync(join(folder, file), 'utf8').trim() === '') {
        await writeFile(join(folder, file), readFileSync(join(path, file), 'utf8'));
      }
    }
  }
}

function descendants(folder: string): string[] {
  try {
    const children = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [...children.flatMap((child) => descendants(join(folder, child.name))), folder];
  } catch {
    return []; // gone meanwhile
  }
}

/** Processes in pods, including those that `kubectl exec` started. */
export function podProcesses(): number[] {
  const pids = ourFolders()
    .flatMap(descendants)
    .flatMap((folder) => {
      try {
        return readFileSync(join(folder, 'cgroup.procs'), 'utf8').split('\n').map(Number);
      } catch {
        return []; // the group went away meanwhile
      }
    });
  return [...new Set(pids.filter((pid) => pid > 0))];
}

/** Removes the groups; their processes must be gone (the kernel takes a moment to notice). */
export async function removeCgroup(): Promise<void> {
  await until('removing the cgroups', 20_000, async () => {
    const folders = ourFolders().flatMap(descendants);
    for (const folder of folders) await rmdir(folder).catch(() => undefined);
    return ourFolders().every((folder) => !existsSync(folder));
  });
}
