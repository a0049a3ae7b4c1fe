/**
 * promtool, a program that parses PromQL, and the CRDs of prometheus-operator: built and fetched from the Go module proxy at the versions that
 * go.mod pins, once for each change of it.
 */
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../cluster/commands.ts';
import { goBuild, goEnvironment, madeOnce, requiredVersion } from '../go/made-once.ts';
import type { MadeOnce } from '../go/made-once.ts';

export interface PrometheusPrograms {
  readonly promtool: string;
  readonly promql: string;
}

const sources = ['go.mod', 'go.sum', 'promql/main.go', 'operator-crds/go.mod'];
const packages: Readonly<Record<string, string>> = { promql: './promql', promtool: 'github.com/prometheus/prometheus/cmd/promtool' };

/** Absolute paths, built first where missing (some ten minutes on two cores). Processes that ask at once build once. */
export async function prometheusPrograms(progress: (line: string) => void): Promise<PrometheusPrograms> {
  const wanted = await pinned('prometheus', 'github.com/prometheus/prometheus', {
    files: Object.keys(packages),
    about: 'building promtool, once: some ten minutes on two cores',
  });
  // service discovery of every cloud is of no use here and is most of the build
  const flags = ['-tags', 'remove_all_sd'];
  const [promql = '', promtool = ''] = await madeOnce(wanted, progress, (file, to) =>
    goBuild(import.meta.dirname, packages[file] ?? file, to, { flags }),
  );
  return { promtool, promql };
}

/** Files with the CustomResourceDefinitions of PodMonitor and PrometheusRule, as prometheus-operator installs them. */
export async function prometheusOperatorCrds(progress: (line: string) => void): Promise<readonly string[]> {
  const module = 'github.com/prometheus-operator/prometheus-operator';
  const wanted = await pinned('prometheus-operator', module, {
    files: ['podmonitors', 'prometheusrules'].map((plural) => `monitoring.coreos.com_${plural}.yaml`),
    about: 'fetching the CRDs of prometheus-operator, once',
  });
  return madeOnce(wanted, progress, async (file, to) => {
    const answer = await run('go', ['mod', 'download', '-json', module], {
      cwd: join(import.meta.dirname, 'operator-crds'),
      env: goEnvironment(),
      timeoutMs: 10 * 60_000,
    });
    const { Dir } = JSON.parse(answer) as { readonly Dir: string };
    await copyFile(join(Dir, 'example/prometheus-operator-crd', file), to);
  });
}

async function pinned(name: string, module: string, rest: Pick<MadeOnce, 'files' | 'about'>): Promise<MadeOnce> {
  const inputs = await Promise.all(sources.map((file) => readFile(join(import.meta.dirname, file), 'utf8')));
  const version = requiredVersion(inputs.join('\n'), module, 'test/support/prometheus');
  return { name, version, inputs, go: '1.26', ...rest };
}
