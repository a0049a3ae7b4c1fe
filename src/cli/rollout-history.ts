import { parseArgs } from 'node:util';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { clusterFlags, clusterFlagsUsage, withCluster } from './cluster-access.ts';
import { UsageError, parsed, runCommand } from './command.ts';
import { deploymentName } from './rollout-name.ts';
import { findDeployment } from './view/resources.ts';
import { asksForJson } from './router-history.ts';
import { ageText, textTable } from './text-table.ts';

const usage = `usage: kubectl r2r rollout history NAME [flags]

Lists the revisions that the endpoint of an R2RDeployment has led to, the newest first, and one that is being rolled out or waits.
To go back to one, write its models, images and arguments into the spec again.

${clusterFlagsUsage}
  -o, --output json          as JSON`;

const flags = {
  ...clusterFlags,
  output: { type: 'string', short: 'o' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** `kubectl r2r rollout history`. */
export function rolloutHistory(argv: readonly string[]): Promise<void> {
  const json = asksForJson(argv);
  return runCommand({ name: 'kubectl r2r rollout history', json }, async (signal) => {
    const { values, positionals } = parsed(() => parseArgs({ args: [...argv], options: flags, allowPositionals: true }));
    if (values.help) return { text: [usage], json: { usage } };
    if (values.output !== undefined && !json) throw new UsageError(`--output must be json, got "${values.output}"`);
    const name = deploymentName(positionals);
    const deployment = await withCluster(values, (access) => findDeployment({ ...access, signal }, name));
    return { text: historyText(deployment, new Date()), json: historyRows(deployment) };
  });
}

export interface HistoryRow {
  readonly revision: string;
  readonly state: 'Serving' | 'Target' | '';
  readonly servedSince?: string | undefined;
  readonly slm?: string | undefined;
  readonly llm?: string | undefined;
  readonly slmImage?: string | undefined;
  readonly llmImage?: string | undefined;
  readonly changeCause?: string | undefined;
}

export function historyRows({ spec, status }: R2RDeployment): readonly HistoryRow[] {
  const { history = [], revision: { serving, target } = {} } = status ?? {};
  const served = history.map((entry, index): HistoryRow => ({
    ...entry,
    state: index === 0 && entry.revision === serving ? 'Serving' : '',
  }));
  if (target === undefined || target === serving) return served;
  const { slm, llm } = spec;
  return [{ revision: target, state: 'Target', slm: slm.model, llm: llm.model, slmImage: slm.image, llmImage: llm.image }, ...served];
}

export function historyText(deployment: R2RDeployment, now: Date): readonly string[] {
  const rows = historyRows(deployment);
  if (rows.length === 0) return ['nothing is known yet: the operator has not looked at it'];
  const model = (name = '-', image?: string): string => (image === undefined ? name : `${name} (${image})`);
  return textTable(
    ['REVISION', 'STATE', 'SINCE', 'SLM', 'LLM', 'CHANGE-CAUSE'],
    rows.map((row) => [
      row.revision,
      row.state,
      row.servedSince === undefined ? '-' : ageText(row.servedSince, now),
      model(row.slm, row.slmImage),
      model(row.llm, row.llmImage),
      row.changeCause ?? '<none>',
    ]),
  );
}
