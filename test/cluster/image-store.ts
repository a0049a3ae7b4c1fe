/** The node's images: containerd's namespace `k8s.io`, where kubelet looks. */
import { run } from './commands.ts';
import { paths } from './settings.ts';

const ctr = (program: string, args: readonly string[]) =>
  run(program, ['--address', paths.containerdSocket, '--namespace', 'k8s.io', ...args], { timeoutMs: 10 * 60_000 });

/** Full names (`ghcr.io/org/name:tag`) of the images on the node. */
export async function imageNames(program: string): Promise<string[]> {
  const names = (await ctr(program, ['images', 'list', '--quiet'])).trim().split('\n');
  return names.filter((name) => name !== '' && !name.startsWith('sha256:'));
}

export async function hasImage(program: string, name: string): Promise<boolean> {
  return (await imageNames(program)).includes(name);
}

/** Loads the images of an archive (docker's or OCI's) under the names it gives them; an older one of the same name loses it. */
export async function importImage(program: string, archive: string): Promise<void> {
  await ctr(program, ['images', 'import', archive]);
}
