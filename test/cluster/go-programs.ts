/**
 * Kubernetes and CoreDNS, built from the Go module proxy at the versions that tools/go.mod pins, once for each change of it.
 * `go install` refuses k8s.io/kubernetes (its go.mod has replace directives), hence a module of our own.
 */
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run, tryRun } from './commands.ts';
import { locked } from './lock.ts';
import { duration, type Progress } from './progress.ts';

const moduleFolder = join(import.meta.dirname, 'tools');

const packages = {
  'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
  'kube-controller-manager': 'k8s.io/kubernetes/cmd/kube-controller-manager',
  'kube-scheduler': 'k8s.io/kubernetes/cmd/kube-scheduler',
  kubelet: 'k8s.io/kubernetes/cmd/kubelet',
  'kube-proxy': 'k8s.io/kubernetes/cmd/kube-proxy',
  kubectl: 'k8s.io/kubernetes/cmd/kubectl',
  coredns: './coredns',
} as const;
const scratchPrefix = '.building-';

export type GoProgram = keyof typeof packages;
export const goPrograms = Object.keys(packages) as readonly GoProgram[];

/** `${XDG_CACHE_HOME}/r2r-kubernetes`, else `~/.cache/r2r-kubernetes`: what is worth keeping between runs and costs only time to lose. */
export function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'r2r-kubernetes');
}

/** The version of k8s.io/kubernetes in a go.mod, e.g. `1.34.4`. */
export function kubernetesVersion(goMod: string): string {
  const version = /^\s*k8s\.io\/kubernetes v(\S+)$/m.exec(goMod)?.[1];
  if (!version) throw new Error('test/cluster/tools/go.mod requires no k8s.io/kubernetes');
  return version;
}

/** What `kubectl version` and the API server's `/version` say comes from these linker flags. */
export function linkerFlags(version: string): string {
  const [major = '', minor = ''] = version.split('.');
  const values = { gitVersion: `v${version}`, gitMajor: major, gitMinor: minor };
  const packagePaths = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'];
  return ['-s', '-w', ...packagePaths.flatMap((path) => Object.entries(values).map(([name, value]) => `-X ${path}.${name}=${value}`))].join(
    ' ',
  );
}

async function folderFor(): Promise<{ folder: string; version: string }> {
  const inputs = await Promise.all(['go.mod', 'go.sum', 'coredns/main.go'].map((name) => readFile(join(moduleFolder, name), 'utf8')));
  const version = kubernetesVersion(inputs[0] ?? '');
  const hash = createHash('sha256').update([...inputs, linkerFlags(version)].join('\0'));
  return { folder: join(cacheFolder(), `kubernetes-${version}-${hash.digest('hex').slice(0, 8)}`), version };
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

async function missingFrom(folder: string, names: readonly GoProgram[]): Promise<GoProgram[]> {
  const present = await Promise.all(names.map((name) => exists(join(folder, name))));
  return names.filter((_, index) => !present[index]);
}

async function build(folder: string, version: string, names: readonly GoProgram[], progress: Progress): Promise<void> {
  if ((await tryRun('go', ['version'])) === undefined) {
    throw new Error('Go 1.25 or newer must be in PATH to build Kubernetes (once; https://go.dev/dl). The machine has no `go`.');
  }
  // Only the lock's holder is here, so an older scratch folder belongs to a build that was killed.
  for (const name of await readdir(folder)) if (name.startsWith(scratchPrefix)) await rm(join(folder, name), { recursive: true });
  progress(`building ${names.join(', ')} (Kubernetes ${version}), once: 5 to 15 minutes on two cores`);
  const scratch = await mkdtemp(join(folder, scratchPrefix));
  const started = Date.now();
  let compiled = 0;
  const ticker = setInterval(() => progress(`building: ${compiled} packages compiled in ${duration(Date.now() - started)}`), 20_000);
  try {
    const args = [
      'build',
      '-v',
      '-trimpath',
      '-ldflags',
      linkerFlags(version),
      '-o',
      `${scratch}/`,
      ...names.map((name) => packages[name]),
    ];
    await run('go', args, {
      cwd: moduleFolder,
      env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false', GOWORK: 'off' },
      timeoutMs: 60 * 60_000,
      onLine: (line) => (compiled += line.startsWith('go: ') ? 0 : 1),
    });
    for (const name of names) await rename(join(scratch, name), join(folder, name));
    progress(`built in ${duration(Date.now() - started)}; kept in ${folder}`);
  } finally {
    clearInterval(ticker);
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Absolute paths of these programs, built first where missing. Two processes that ask at once build once. */
export async function goProgramPaths<Name extends GoProgram>(names: readonly Name[], progress: Progress): Promise<Record<Name, string>> {
  const { folder, version } = await folderFor();
  if ((await missingFrom(folder, names)).length > 0) {
    await mkdir(folder, { recursive: true });
    await locked(join(folder, '.lock'), progress, async () => {
      const missing = await missingFrom(folder, names);
      if (missing.length > 0) await build(folder, version, missing, progress);
    });
  }
  return Object.fromEntries(names.map((name) => [name, join(folder, name)])) as Record<Name, string>;
}
