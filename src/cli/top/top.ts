import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { withCluster } from '../cluster-access.ts';
import { UsageError, parsed, runCommand } from '../command.ts';
import { asksForJson, outputOf } from '../router-history.ts';
import { viewFlags, viewFlagsUsage } from '../view/flags.ts';
import { Gaps } from '../view/gaps.ts';
import { screenOf, type Screen } from '../view/layout.ts';
import { readFamilies, type Scope } from '../view/resources.ts';
import { askRouters } from '../view/router-answers.ts';
import { targetOf, type Target } from '../view/target.ts';
import { noteLines } from '../view/texts.ts';
import { deploymentNumbers, type DeploymentNumbers, type Reading } from './numbers.ts';
import { topTable, type TableOptions } from './table.ts';

const usage = `usage: kubectl r2r top [NAME] [flags]

Shows how R2RDeployments route now: share of the tokens that the LLM supplied and that were its fallback, tokens a second (all three over the
last minute), calls to the LLM a second, requests in flight, ready and wanted replicas.

${viewFlagsUsage}
      --routers              a line for each router, with its threshold and bundle
  -w, --watch                again and again, until Ctrl-C
      --interval SECONDS     between two readings                         [5, without --watch 2]
  -o, --output FORMAT        json

Routers are asked through the API server, which needs the verb get on pods/proxy; without it the numbers are those of the resource's status,
and FROM says how long ago that changed.`;

const flags = {
  ...viewFlags,
  routers: { type: 'boolean', default: false },
  watch: { type: 'boolean', short: 'w', default: false },
  interval: { type: 'string' },
  output: { type: 'string', short: 'o' },
} as const;

/** Back to the upper left corner, and everything below it away. */
const clearScreen = '\x1b[H\x1b[J';

/** `kubectl r2r top` and `r2r top`. */
export function topCommand(argv: readonly string[]): Promise<void> {
  return runCommand({ name: 'kubectl r2r top', json: asksForJson(argv) }, async (signal) => {
    const { values, positionals } = parsed(() => parseArgs({ args: [...argv], options: flags, allowPositionals: true }));
    if (values.help) return { text: [usage], json: { usage } };
    const target = targetOf(positionals);
    if (target?.kind === 'router') throw new UsageError('an R2RRouter routes nothing itself; name an R2RDeployment that follows it');
    if (target && values['all-namespaces']) throw new UsageError('a NAME and --all-namespaces contradict each other');
    const output = outputOf(values.output);
    if (output !== undefined && output !== 'json') throw new UsageError(`--output must be json, got "${output}"`);
    if (output && values.watch) throw new UsageError('--output json and --watch contradict each other');
    const seconds = Number(values.interval ?? (values.watch ? 5 : 2));
    if (!(seconds >= 1 && seconds <= 3600)) throw new UsageError(`--interval must be 1 to 3600 seconds, got "${values.interval ?? ''}"`);
    const options = { namespaces: values['all-namespaces'], routers: values.routers };
    return withCluster(values, async (access) => {
      const scope = { client: access.client, namespace: values['all-namespaces'] ? undefined : access.namespace, signal };
      if (values.watch) return watch(scope, target, options, seconds * 1000);
      const first = await read(scope, target, undefined);
      // what is counted since the start gives a rate only with a second reading
      if (first.reading.size > 0) await sleep(seconds * 1000, undefined, { signal });
      const { deployments, notes } = first.reading.size > 0 ? await read(scope, target, first.reading) : first;
      return { text: text(deployments, notes, options, screenOf(process.stdout, process.env)), json: { deployments, notes } };
    });
  });
}

interface Seen {
  readonly deployments: readonly DeploymentNumbers[];
  readonly notes: readonly string[];
  readonly reading: Reading;
}

async function read(scope: Scope, target: Target | undefined, before: Reading | undefined): Promise<Seen> {
  const gaps = new Gaps(scope.signal);
  const { deployments } = await readFamilies(scope, target, gaps, { routers: false });
  const reading = await askRouters(
    scope.client,
    deployments.flatMap(({ pods }) => pods),
    gaps,
    scope.signal,
  );
  return { deployments: deployments.map((family) => deploymentNumbers(family, reading, before)), notes: gaps.notes, reading };
}

/** Prints until the signal fires; a reading that fails is told of, and tried again. */
async function watch(scope: Scope, target: Target | undefined, options: TableOptions, intervalMs: number) {
  const { signal } = scope;
  let before: Reading | undefined;
  let shown = false;
  const stopped = (): boolean => signal.aborted;
  while (!stopped()) {
    const screen = screenOf(process.stdout, process.env);
    let lines: readonly string[];
    try {
      const seen = await read(scope, target, before);
      before = seen.reading;
      lines = text(seen.deployments, seen.notes, options, screen);
      shown = true;
    } catch (error) {
      if (stopped()) break;
      // what is wrong from the beginning ends the command
      if (!shown) throw error;
      lines = noteLines([error instanceof Error ? error.message : String(error)], screen);
    }
    process.stdout.write(screen.terminal ? `${clearScreen}${lines.join('\n')}\n` : `${lines.join('\n')}\n\n`);
    await sleep(intervalMs, undefined, { signal }).catch(() => undefined);
  }
  return { text: [], json: undefined };
}

function text(
  deployments: readonly DeploymentNumbers[],
  notes: readonly string[],
  options: TableOptions,
  screen: Screen,
): readonly string[] {
  const table = deployments.length > 0 ? topTable(deployments, options, new Date(), screen) : ['there are no R2RDeployments'];
  return notes.length > 0 ? [...table, '', ...noteLines(notes, screen)] : table;
}
