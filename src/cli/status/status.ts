import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import { withCluster } from '../cluster-access.ts';
import { UsageError, parsed, runCommand } from '../command.ts';
import { asksForJson, outputOf } from '../router-history.ts';
import { viewFlags, viewFlagsUsage } from '../view/flags.ts';
import { Gaps } from '../view/gaps.ts';
import { screenOf, type Screen } from '../view/layout.ts';
import { readFamilies } from '../view/resources.ts';
import { askRouters } from '../view/router-answers.ts';
import { targetOf } from '../view/target.ts';
import { noteLines } from '../view/texts.ts';
import { deploymentText } from './deployment-text.ts';
import { deploymentView, type DeploymentView } from './deployment-view.ts';
import { routerText } from './router-text.ts';
import { routerView, type RouterView } from './router-view.ts';

const usage = `usage: kubectl r2r status [NAME | router/NAME] [flags]

Shows an R2RDeployment as a tree: revisions, pods with their routers, and conditions with their reasons; or the steps of an R2RRouter with
their progress. Without a name all of the namespace.

${viewFlagsUsage}
  -o, --output FORMAT        json or yaml

Routers are asked through the API server, which needs the verb get on pods/proxy; without it the resource's status has to do.`;

const flags = { ...viewFlags, output: { type: 'string', short: 'o' } } as const;
const outputs = ['json', 'yaml'] as const;

/** What `-o json` has. */
export interface StatusReport {
  readonly deployments: readonly DeploymentView[];
  readonly routers: readonly RouterView[];
  /** What could not be read, and why. */
  readonly notes: readonly string[];
}

/** `kubectl r2r status` and `r2r status`. */
export function statusCommand(argv: readonly string[]): Promise<void> {
  return runCommand({ name: 'kubectl r2r status', json: asksForJson(argv) }, async (signal) => {
    const { values, positionals } = parsed(() => parseArgs({ args: [...argv], options: flags, allowPositionals: true }));
    if (values.help) return { text: [usage], json: { usage } };
    const target = targetOf(positionals);
    const output = outputs.find((each) => each === outputOf(values.output));
    if (values.output !== undefined && output === undefined)
      throw new UsageError(`--output must be one of ${outputs.join(', ')}, got "${values.output}"`);
    if (target && values['all-namespaces']) throw new UsageError('a NAME and --all-namespaces contradict each other');
    const now = new Date();
    const gaps = new Gaps(signal);
    const { report, where } = await withCluster(values, async ({ client, namespace }) => {
      const scope = { client, namespace: values['all-namespaces'] ? undefined : namespace, signal };
      const { deployments, routers } = await readFamilies(scope, target, gaps);
      const answers = await askRouters(
        client,
        deployments.flatMap(({ pods }) => pods),
        gaps,
        signal,
      );
      const report: StatusReport = {
        deployments: deployments.map((family) => deploymentView(family, answers, now)),
        routers: routers.map((family) => routerView(family, now)),
        notes: gaps.notes,
      };
      return { report, where: scope.namespace };
    });
    const text = output === 'yaml' ? [stringify(report).trimEnd()] : statusText(report, where, now, screenOf(process.stdout, process.env));
    return { text, json: report };
  });
}

/** The report for people. @param where - the namespace that was looked at, undefined for all */
export function statusText(report: StatusReport, where: string | undefined, now: Date, screen: Screen): readonly string[] {
  const sections = [
    ...report.deployments.map((view) => deploymentText(view, now, screen)),
    ...report.routers.map((view) => routerText(view, now, screen)),
  ];
  if (sections.length === 0)
    sections.push([`there are no R2RDeployments or R2RRouters${where === undefined ? '' : ` in namespace ${where}`}`]);
  if (report.notes.length > 0) sections.push(noteLines(report.notes, screen));
  return sections.flatMap((lines, index) => (index === 0 ? lines : ['', ...lines]));
}
