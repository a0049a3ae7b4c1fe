import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { ApiError } from '../../kube/index.ts';
import { withCluster } from '../cluster-access.ts';
import { UsageError, parsed, runCommand } from '../command.ts';
import { sizeText } from '../size-text.ts';
import { packageVersion } from '../version.ts';
import { viewFlags, viewFlagsUsage } from '../view/flags.ts';
import { Gaps, reasonOf } from '../view/gaps.ts';
import { screenOf } from '../view/layout.ts';
import { PluginError } from '../view/plugin-error.ts';
import { readFamilies, type Scope } from '../view/resources.ts';
import { targetOf, type Target } from '../view/target.ts';
import { noteLines } from '../view/texts.ts';
import { collectCluster, collectOperator } from './cluster-facts.ts';
import { Collector } from './collector.ts';
import { indexPage } from './index-page.ts';
import type { LogBounds } from './logs.ts';
import { collectResources } from './resource-facts.ts';
import { TarFile } from './tar.ts';

const usage = `usage: kubectl r2r support-bundle NAME | router/NAME | -A [flags]

Writes a tar.gz file for whoever helps you: the resource, its children and pods, events, logs, the operator's logs and metrics, what routers
and Jobs say of themselves, nodes in short, and versions. Secrets are never read, and what looks like one is taken out; index.md in it says what
could not be collected, and why. Whatever this user may not read is left out.

${viewFlagsUsage}
  -o, --output FILE                [r2r-support-NAME-TIME.tar.gz]
      --since DURATION             of logs: 90s, 30m, 12h, 7d               [24h]
      --tail LINES                 of each container's log, at most         [5000]
      --operator-namespace NAME    where the operator runs                  [r2r-system]`;

const flags = {
  ...viewFlags,
  output: { type: 'string', short: 'o' },
  since: { type: 'string', default: '24h' },
  tail: { type: 'string', default: '5000' },
  'operator-namespace': { type: 'string', default: 'r2r-system' },
} as const;

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `kubectl r2r support-bundle` and `r2r support-bundle`. */
export function supportBundleCommand(argv: readonly string[]): Promise<void> {
  return runCommand({ name: 'kubectl r2r support-bundle', json: false }, async (signal) => {
    const { values, positionals } = parsed(() => parseArgs({ args: [...argv], options: flags, allowPositionals: true }));
    if (values.help) return { text: [usage], json: { usage } };
    const target = targetOf(positionals);
    const everything = values['all-namespaces'];
    if (target && everything) throw new UsageError('a NAME and --all-namespaces contradict each other');
    if (!target && !everything) throw new UsageError('NAME of the R2RDeployment, router/NAME, or --all-namespaces is missing');
    const bounds = boundsOf(values.since, values.tail);
    const now = new Date();
    const file = values.output ?? `r2r-support-${target?.name ?? 'all'}-${now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}.tar.gz`;
    if (existsSync(file)) throw new PluginError('OUTPUT_FILE', `${file} is there already`, 'name another one with --output, or remove it');
    return withCluster(values, async ({ client, namespace }) => {
      const scope = { client, namespace: everything ? undefined : namespace, signal };
      const collector = await write(scope, target, file, { bounds, operatorNamespace: values['operator-namespace'], now });
      const { files, missing } = collector.contents;
      const { size } = await stat(file);
      const lines = [`${file}: ${files.length} files, ${sizeText(size)}`];
      const note = `${missing.length} things could not be collected; index.md says which, and why. The first: ${missing[0]?.what ?? ''}: ${missing[0]?.why ?? ''}`;
      return {
        text: missing.length > 0 ? [...lines, ...noteLines([note], screenOf(process.stdout, process.env))] : lines,
        json: undefined,
      };
    });
  });
}

interface WriteOptions {
  readonly bounds: LogBounds;
  readonly operatorNamespace: string;
  readonly now: Date;
}

/** Writes the archive, whole or not at all. @throws PluginError `OUTPUT_FILE`, and what reading the resource itself throws */
async function write(
  scope: Scope,
  target: Target | undefined,
  file: string,
  { bounds, operatorNamespace, now }: WriteOptions,
): Promise<Collector> {
  const { client, signal } = scope;
  const gaps = new Gaps(signal);
  const families = await readFamilies(scope, target, gaps).catch((error: unknown) => {
    if (!(error instanceof ApiError && error.status === 403)) throw error;
    // whoever may not see the resource may still see what belongs to it
    gaps.add(`R2RDeployments and R2RRouters cannot be read: ${reasonOf(error)}`);
    return { deployments: [], routers: [] };
  });
  const tar = new TarFile(file, now);
  const collector = new Collector(tar, signal);
  try {
    for (const note of gaps.notes) collector.missing('resources', note);
    await collectCluster(scope, collector);
    await collectOperator(scope, collector, operatorNamespace, bounds);
    await collectResources(scope, collector, families, target, bounds, now);
    const facts = {
      madeAt: now.toISOString(),
      plugin: packageVersion(),
      server: client.server,
      asked: target ? `${target.kind} ${target.name} in namespace ${scope.namespace ?? ''}` : 'all namespaces',
      logs: `of the last ${bounds.sinceSeconds} s, at most ${bounds.tailLines} lines a container`,
    };
    await collector.page('index.json', JSON.stringify({ ...facts, ...collector.contents }));
    await collector.text('index.md', indexPage(facts, collector.contents));
    await tar.close();
    return collector;
  } catch (error) {
    await tar.abandon();
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    throw new PluginError('OUTPUT_FILE', `${file} cannot be written: ${error.message}`, 'name another one with --output', { cause: error });
  }
}

function boundsOf(since: string, tail: string): LogBounds {
  const [, count, unit = ''] = /^(\d{1,6})([smhd])$/.exec(since) ?? [];
  const sinceSeconds = Number(count) * (unitSeconds[unit] ?? Number.NaN);
  if (!(sinceSeconds >= 1)) throw new UsageError(`--since must be a time such as 30m, 12h or 7d, got "${since}"`);
  const tailLines = Number(tail);
  if (!Number.isInteger(tailLines) || tailLines < 1 || tailLines > 1_000_000)
    throw new UsageError(`--tail must be a number from 1 to 1000000, got "${tail}"`);
  return { sinceSeconds, tailLines };
}
