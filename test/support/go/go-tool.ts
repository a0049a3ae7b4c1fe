/** Programs of the tests that are built from the Go module proxy: each from a module of its own, whose go.mod pins it, once for each change of that. */
import { createHash } from 'node:crypto';
import { access, mkdir, readFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run, tryRun } from '../../cluster/commands.ts';
import { cacheFolder } from '../../cluster/go-programs.ts';
import { locked } from '../../cluster/lock.ts';
import { stderrProgress } from '../../cluster/progress.ts';
import type { Progress } from '../../cluster/progress.ts';

export interface GoTool {
  /** Of the folder beside this file, and of the program. */
  readonly name: string;
  /** What is compiled. */
  readonly package: string;
  /** The module whose version counts. */
  readonly module: string;
  /** `-X` flags, given that version without its v. */
  readonly variables?: (version: string, goMod: string) => Readonly<Record<string, string>>;
  /** On two cores that have nothing else to do. */
  readonly minutes: number;
}

const kubernetesMinor = (goMod: string): string => /^\s*k8s\.io\/client-go v0\.(\d+)\./m.exec(goMod)?.[1] ?? '';

/** What Helm's Makefile sets: the version it says it has, and the Kubernetes version that `helm template` assumes (Helm 4 finds that one itself). */
const helm = (major: 3 | 4): GoTool => {
  const module = `helm.sh/helm/v${major}`;
  const kubernetes = (goMod: string) => ({
    [`${module}/pkg/chartutil.k8sVersionMajor`]: '1',
    [`${module}/pkg/chartutil.k8sVersionMinor`]: kubernetesMinor(goMod),
  });
  return {
    name: `helm${major}`,
    package: `${module}/cmd/helm`,
    module,
    variables: (version, goMod) => ({ [`${module}/internal/version.version`]: `v${version}`, ...(major === 3 && kubernetes(goMod)) }),
    minutes: 4,
  };
};

export const goTools = {
  helm3: helm(3),
  helm4: helm(4),
  /** Argo CD's Lua, kstatus and a registry: see judges/main.go. */
  judges: { name: 'judges', package: '.', module: 'github.com/fluxcd/cli-utils', minutes: 1 },
} as const satisfies Record<string, GoTool>;

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Absolute path of the program, built first where it is missing. Processes that ask at once build once. */
export async function goTool(tool: GoTool, progress: Progress = stderrProgress()): Promise<string> {
  const source = join(import.meta.dirname, tool.name);
  const names = (await readdir(source)).filter((name) => /^go\.(mod|sum)$|\.go$/.test(name)).sort();
  const inputs = await Promise.all(names.map((name) => readFile(join(source, name), 'utf8')));
  const goMod = inputs[names.indexOf('go.mod')] ?? '';
  const version = new RegExp(`^\\s*(?:require )?${tool.module.replaceAll('.', '\\.')} v(\\S+)`, 'm').exec(goMod)?.[1];
  if (version === undefined) throw new Error(`test/support/go/${tool.name}/go.mod requires no ${tool.module}`);
  const variables = Object.entries(tool.variables?.(version, goMod) ?? {}).map(([name, value]) => `-X ${name}=${value}`);
  const linkerFlags = ['-s', '-w', ...variables].join(' ');
  const hash = createHash('sha256')
    .update([...inputs, linkerFlags].join('\0'))
    .digest('hex')
    .slice(0, 8);
  const folder = join(cacheFolder(), `${tool.name}-${version}-${hash}`);
  const path = join(folder, tool.name);
  if (await isThere(path)) return path;
  await mkdir(folder, { recursive: true });
  await locked(join(folder, '.lock'), progress, async () => {
    if (await isThere(path)) return;
    if ((await tryRun('go', ['version'])) === undefined)
      throw new Error(`Go 1.26 or newer must be in PATH to build ${tool.name} (once; https://go.dev/dl). The machine has no \`go\`.`);
    progress(`building ${tool.name} (${tool.module} ${version}), once: about ${tool.minutes} minutes on two cores`);
    const scratch = join(folder, '.building');
    await run('go', ['build', '-trimpath', '-ldflags', linkerFlags, '-o', scratch, tool.package], {
      cwd: source,
      env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false', GOWORK: 'off' },
      timeoutMs: 60 * 60_000,
    });
    await rename(scratch, path);
    progress(`built ${tool.name}; kept in ${folder}`);
  });
  await rm(join(folder, '.building'), { force: true });
  return path;
}
