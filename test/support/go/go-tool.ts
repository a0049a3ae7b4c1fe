/** Programs of the tests that are built from the Go module proxy: each from a module of its own, whose go.mod pins it, once for each change of that. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { stderrProgress } from '../../cluster/progress.ts';
import type { Progress } from '../../cluster/progress.ts';
import { goBuild, madeOnce, requiredVersion } from './made-once.ts';

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

/** Absolute path of the program, built first where it is missing. Processes that ask at once build once. */
export async function goTool({ name, module, ...tool }: GoTool, progress: Progress = stderrProgress()): Promise<string> {
  const source = join(import.meta.dirname, name);
  const names = (await readdir(source)).filter((each) => /^go\.(mod|sum)$|\.go$/.test(each)).sort();
  const texts = await Promise.all(names.map((each) => readFile(join(source, each), 'utf8')));
  const goMod = texts[names.indexOf('go.mod')] ?? '';
  const version = requiredVersion(goMod, module, `test/support/go/${name}/go.mod`);
  const variables = Object.entries(tool.variables?.(version, goMod) ?? {}).map(([variable, value]) => `-X ${variable}=${value}`);
  const linkerFlags = ['-s', '-w', ...variables].join(' ');
  const about = `building ${name} (${module} ${version}), once: about ${tool.minutes} minutes on two cores`;
  const wanted = { name, version, inputs: [...texts, linkerFlags], files: [name], about, go: '1.26' };
  const [path = ''] = await madeOnce(wanted, progress, (_, to) => goBuild(source, tool.package, to, { linkerFlags }));
  return path;
}
