import { parseArgs } from 'node:util';
import type { R2RRouter } from '../api/r2rrouter.ts';
import { clusterFlags, clusterFlagsUsage, withCluster } from './cluster-access.ts';
import { UsageError, parsed, runCommand } from './command.ts';
import { shortDigest } from './rollback-target.ts';
import { findRouter, routerName } from './router-resource.ts';
import { ageText, percentText, textTable } from './text-table.ts';

const usage = `usage: kubectl r2r router history NAME [flags]

Lists the bundles that an R2RRouter has made, the newest first: what they reached on the test rows, what the gate said, which one is offered,
and which deployments run it.

${clusterFlagsUsage}
  -o, --output FORMAT        wide: whole digests, test rows and addresses; json

\`kubectl r2r router rollback NAME\` goes back to an earlier one.`;

const flags = {
  ...clusterFlags,
  output: { type: 'string', short: 'o' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

const outputs = ['json', 'wide'] as const;

/** `kubectl r2r router history` and `r2r router history`. */
export function routerHistory(argv: readonly string[]): Promise<void> {
  return runCommand({ name: 'kubectl r2r router history', json: asksForJson(argv) }, async (signal) => {
    const { values, positionals } = parsed(() => parseArgs({ args: [...argv], options: flags, allowPositionals: true }));
    if (values.help) return { text: [usage], json: { usage } };
    const name = routerName(positionals);
    const output = outputs.find((each) => each === outputOf(values.output));
    if (values.output !== undefined && output === undefined)
      throw new UsageError(`--output must be one of ${outputs.join(', ')}, got "${values.output}"`);
    const router = await withCluster(values, (access) => findRouter(access, name, signal));
    return { text: historyText(router, output === 'wide', new Date()), json: historyJson(router) };
  });
}

/** As kubectl does, `-o=json` is taken for `-o json`. */
export function outputOf(value: string | undefined): string | undefined {
  return value?.replace(/^=/, '');
}

/** Whether errors, too, are to be printed as JSON; the command line may be wrong in other places. */
export function asksForJson(argv: readonly string[]): boolean {
  return argv.some((each, index) => /^(-o=?|--output=)json$/.test(each) || (/^(-o|--output)$/.test(each) && argv[index + 1] === 'json'));
}

function historyText(router: R2RRouter, wide: boolean, now: Date): readonly string[] {
  const { history = [], phase = 'Pending', summary } = router.status ?? {};
  if (history.length === 0) {
    const step = summary?.step === undefined ? '' : `, step ${summary.step} ${summary.progress ?? ''}`.trimEnd();
    return [`no bundle has been made yet: the R2RRouter is ${phase}${step}`];
  }
  const headings = [
    'DIGEST',
    'AGE',
    'RECALL',
    'POSITIVE',
    'THRESHOLD',
    'GATE',
    'OFFERED',
    'USED BY',
    ...(wide ? ['ROWS', 'URI'] : []),
    'MESSAGE',
  ];
  const rows = historyJson(router).history.map((each) => [
    wide ? each.digest : shortDigest(each.digest),
    ageText(each.madeAt, now),
    percentText(each.recall),
    percentText(each.positiveRate),
    each.threshold === undefined ? '-' : String(Number(each.threshold.toPrecision(3))),
    each.gate,
    each.offered ? 'yes' : '',
    each.deployments.join(','),
    ...(wide ? [String(each.rows ?? '-'), each.uri] : []),
    each.message,
  ]);
  const { bundle } = router.spec.rollout;
  const pinned = bundle === undefined ? [] : [`spec.rollout.bundle names ${shortDigest(bundle)}`];
  return [...textTable(headings, rows), ...pinned];
}

function historyJson({ metadata, spec, status }: R2RRouter) {
  const deployments = status?.deployments ?? [];
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    ...(spec.rollout.bundle !== undefined && { named: spec.rollout.bundle }),
    history: (status?.history ?? []).map((each) => ({
      ...each,
      offered: each.digest === status?.bundle?.digest,
      deployments: deployments.filter(({ digest }) => digest === each.digest).map((deployment) => deployment.name),
    })),
  };
}
