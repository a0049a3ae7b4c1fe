/** Programs that Debian and Ubuntu package well enough; installed on demand, because a fresh machine should need one command only. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { run } from './commands.ts';
import type { Progress } from './progress.ts';

/** Program -> the packages that bring it and what it cannot work without. */
const packageOf = {
  etcd: 'etcd-server',
  containerd: 'containerd',
  ctr: 'containerd',
  runc: 'runc',
  'containerd-shim-runc-v2': 'containerd',
  iptables: 'iptables',
  ip6tables: 'iptables',
  nft: 'nftables',
  ip: 'iproute2',
  conntrack: 'conntrack',
  socat: 'socat',
  openssl: 'openssl',
  buildah: 'buildah',
  mmdebstrap: 'mmdebstrap debian-archive-keyring',
  gcc: 'gcc libc6-dev',
  pip3: 'python3-pip',
} as const;
export type DebianProgram = keyof typeof packageOf;

const cniFolder = '/usr/lib/cni';

/** Administrators' programs live in folders that a plain user's PATH may lack. */
const searchPath = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];

export function findProgram(name: string): string | undefined {
  return searchPath.map((folder) => join(folder, name)).find((path) => isExecutable(path));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function missingPackages(names: readonly DebianProgram[], withCni: boolean): string[] {
  const missing = names.filter((name) => !findProgram(name)).flatMap((name): string[] => packageOf[name].split(' '));
  if (withCni && !isExecutable(join(cniFolder, 'ptp'))) missing.push('containernetworking-plugins');
  return [...new Set(missing)];
}

async function install(packages: readonly string[], progress: Progress): Promise<void> {
  const apt = findProgram('apt-get');
  if (!apt || process.getuid?.() !== 0) {
    const how = apt ? `run \`sudo apt-get install ${packages.join(' ')}\`` : `install what the Debian packages ${packages.join(', ')} hold`;
    throw new Error(`These programs are missing: ${how}, then try again.`);
  }
  progress(`installing ${packages.join(', ')} with apt-get`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const args = ['-o', 'DPkg::Lock::Timeout=300', '-qq'];
  const timeoutMs = 15 * 60_000;
  await run(apt, [...args, 'update'], { env, timeoutMs });
  await run(apt, [...args, 'install', '--yes', '--no-install-recommends', ...packages], { env, timeoutMs });
}

/** Absolute paths of these programs, their packages installed first where missing (root on Debian or Ubuntu; else an error that says what to do). */
export async function debianProgramPaths<Name extends DebianProgram>(
  names: readonly Name[],
  progress: Progress,
  { withCni = false } = {},
): Promise<Record<Name, string> & { readonly cniFolder: string }> {
  const missing = missingPackages(names, withCni);
  if (missing.length > 0) await install(missing, progress);
  const paths = Object.fromEntries(names.map((name) => [name, findProgram(name) ?? name])) as Record<Name, string>;
  return { ...paths, cniFolder };
}
