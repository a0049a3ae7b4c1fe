/**
 * promtool, a program that parses PromQL, and the CRDs of prometheus-operator: built and fetched from the Go module proxy at the versions that
 * go.mod pins, once for each change of it.
 */
import { createHash } from 'node:crypto';
import { access, copyFile, mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { run, tryRun } from '../../cluster/commands.ts';
import { cacheFolder } from '../../cluster/go-programs.ts';
import { locked } from '../../cluster/lock.ts';

export interface PrometheusPrograms {
  readonly promtool: string;
  readonly promql: string;
}

const inputs = ['go.mod', 'go.sum', 'promql/main.go', 'operator-crds/go.mod'];
const env = (): NodeJS.ProcessEnv => ({ ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false', GOWORK: 'off' });

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Absolute paths, built first where missing (some ten minutes on two cores). Processes that ask at once build once. */
export async function prometheusPrograms(progress: (line: string) => void): Promise<PrometheusPrograms> {
  const folder = await folderFor('prometheus', 'github.com/prometheus/prometheus');
  const programs = { promtool: join(folder, 'promtool'), promql: join(folder, 'promql') };
  const whole = async (): Promise<boolean> => (await isThere(programs.promtool)) && (await isThere(programs.promql));
  if (await whole()) return programs;
  await mkdir(folder, { recursive: true });
  await locked(join(folder, '.lock'), progress, async () => {
    if (await whole()) return;
    await needGo();
    progress('building promtool, once: some ten minutes on two cores');
    for (const [name, from] of [
      ['promql', './promql'],
      ['promtool', 'github.com/prometheus/prometheus/cmd/promtool'],
    ] as const) {
      const scratch = join(folder, `.building-${name}`);
      // service discovery of every cloud is of no use here and is most of the build
      const args = ['build', '-trimpath', '-tags', 'remove_all_sd', '-ldflags', '-s -w', '-o', scratch, from];
      await run('go', args, { cwd: import.meta.dirname, env: env(), timeoutMs: 60 * 60_000 });
      await rename(scratch, join(folder, name));
    }
  });
  return programs;
}

/** Files with the CustomResourceDefinitions of PodMonitor and PrometheusRule, as prometheus-operator installs them. */
export async function prometheusOperatorCrds(progress: (line: string) => void): Promise<readonly string[]> {
  const module = 'github.com/prometheus-operator/prometheus-operator';
  const folder = await folderFor('prometheus-operator', module);
  const names = ['podmonitors', 'prometheusrules'].map((plural) => `monitoring.coreos.com_${plural}.yaml`);
  const files = names.map((name) => join(folder, name));
  const whole = async (): Promise<boolean> => (await Promise.all(files.map(isThere))).every(Boolean);
  if (await whole()) return files;
  await mkdir(folder, { recursive: true });
  await locked(join(folder, '.lock'), progress, async () => {
    if (await whole()) return;
    await needGo();
    progress('fetching the CRDs of prometheus-operator, once');
    const answer = await run('go', ['mod', 'download', '-json', module], {
      cwd: join(import.meta.dirname, 'operator-crds'),
      env: env(),
      timeoutMs: 10 * 60_000,
    });
    const { Dir } = JSON.parse(answer) as { readonly Dir: string };
    for (const [index, name] of names.entries()) {
      const scratch = `${files[index] ?? ''}.copying`;
      await copyFile(join(Dir, 'example/prometheus-operator-crd', name), scratch);
      await rename(scratch, files[index] ?? '');
    }
  });
  return files;
}

async function folderFor(name: string, module: string): Promise<string> {
  const texts = await Promise.all(inputs.map((file) => readFile(join(import.meta.dirname, file), 'utf8')));
  const version = new RegExp(`${module} v(\\S+)`).exec(texts.join('\n'))?.[1];
  if (version === undefined) throw new Error(`no go.mod of test/support/prometheus requires no ${module}`);
  const hash = createHash('sha256').update(texts.join('\0')).digest('hex').slice(0, 8);
  return join(cacheFolder(), `${name}-${version}-${hash}`);
}

async function needGo(): Promise<void> {
  if ((await tryRun('go', ['version'])) === undefined)
    throw new Error('Go 1.26 or newer must be in PATH to build promtool (once; https://go.dev/dl).');
}
