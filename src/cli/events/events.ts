import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { events as eventType, isGone, type Live } from '../../kube/index.ts';
import type { Event } from '../../kube/resources.ts';
import { clusterFlags, clusterFlagsUsage, withCluster } from '../cluster-access.ts';
import { UsageError, parsed, runCommand } from '../command.ts';
import { asksForJson, outputOf } from '../router-history.ts';
import { findRouter } from '../router-resource.ts';
import { Gaps } from '../view/gaps.ts';
import { screenOf } from '../view/layout.ts';
import { findDeployment, type Scope } from '../view/resources.ts';
import { requiredTarget, type Target } from '../view/target.ts';
import { noteLines } from '../view/texts.ts';
import { eventView, merged, type EventView } from './event-view.ts';
import { relatives } from './relatives.ts';
import { eventLines } from './text.ts';

const usage = `usage: kubectl r2r events NAME | router/NAME [flags]

Lists the events of an R2RDeployment or R2RRouter, of its children and of their pods (also of those that are gone), the newest last; what was
said several times is one line.

${clusterFlagsUsage}
  -w, --watch                then go on as they come, until Ctrl-C
  -o, --output FORMAT        wide: one line each; json`;

const flags = {
  ...clusterFlags,
  watch: { type: 'boolean', short: 'w', default: false },
  output: { type: 'string', short: 'o' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

const outputs = ['json', 'wide'] as const;
const pauseMs = 1_000;

/** `kubectl r2r events` and `r2r events`. */
export function eventsCommand(argv: readonly string[]): Promise<void> {
  return runCommand({ name: 'kubectl r2r events', json: asksForJson(argv) }, async (signal) => {
    const { values, positionals } = parsed(() => parseArgs({ args: [...argv], options: flags, allowPositionals: true }));
    if (values.help) return { text: [usage], json: { usage } };
    const target = requiredTarget(positionals);
    const output = outputs.find((each) => each === outputOf(values.output));
    if (values.output !== undefined && output === undefined)
      throw new UsageError(`--output must be one of ${outputs.join(', ')}, got "${values.output}"`);
    if (output === 'json' && values.watch) throw new UsageError('--output json and --watch contradict each other');
    const wide = output === 'wide';
    return withCluster(values, async ({ client, namespace }) => {
      const scope = { client, namespace, signal };
      if (values.watch) return watch(scope, target, wide);
      const { events, notes } = await readEvents(scope, target);
      const screen = screenOf(process.stdout, process.env);
      const lines =
        events.length > 0 ? eventLines(events, new Date(), screen, wide) : ['there are no events: the API server keeps them for an hour'];
      return { text: [...lines, ...noteLines(notes, screen)], json: { events, notes } };
    });
  });
}

interface Read {
  /** As the API server has them, with their counts. */
  readonly found: readonly Live<Event>[];
  /** The same for people. */
  readonly events: readonly EventView[];
  readonly notes: readonly string[];
  readonly belongs: (event: Event) => boolean;
  readonly resourceVersion: string;
}

/** @throws PluginError, RouterCommandError when the resource is not there; errors of the client */
export async function readEvents(scope: Scope, target: Target): Promise<Read> {
  const { client, namespace = '', signal } = scope;
  const resource = await (target.kind === 'router'
    ? findRouter({ client, namespace }, target.name, signal)
    : findDeployment(scope, target.name));
  const gaps = new Gaps(signal);
  const [belongs, list] = await Promise.all([
    relatives(scope, target, resource.metadata.uid, gaps),
    client.list(eventType, { namespace, signal }),
  ]);
  const found = list.items.filter(belongs);
  return { found, events: merged(found.map(eventView)), notes: gaps.notes, belongs, resourceVersion: list.resourceVersion };
}

/** Prints until the signal fires. A watch that ends is taken up again with a list, of which only what is new is printed. */
async function watch(scope: Scope, target: Target, wide: boolean) {
  const { client, namespace, signal } = scope;
  const printed = new Map<string, string>();
  const isNew = (event: Live<Event>): boolean => {
    const { count, lastAt } = eventView(event);
    const state = `${count} ${lastAt}`;
    if (printed.get(event.metadata.uid) === state) return false;
    printed.set(event.metadata.uid, state);
    return true;
  };
  let headed = false;
  const print = (events: readonly EventView[]): void => {
    const lines = eventLines(events, new Date(), screenOf(process.stdout, process.env), wide);
    for (const line of wide && headed ? lines.slice(1) : lines) console.log(line);
    headed = true;
  };
  const stopped = (): boolean => signal.aborted;
  for (let first = true; !stopped(); first = false) {
    try {
      const { found, notes, belongs, resourceVersion } = await readEvents(scope, target);
      print(merged(found.filter(isNew).map(eventView)));
      if (first) for (const line of noteLines(notes, screenOf(process.stdout, process.env))) console.log(line);
      for await (const change of client.watch(eventType, { namespace, signal, resourceVersion })) {
        const told = change.type === 'ADDED' || change.type === 'MODIFIED';
        if (told && belongs(change.object) && isNew(change.object)) print([eventView(change.object)]);
      }
    } catch (error) {
      if (stopped()) break;
      // what is wrong from the beginning ends the command
      if (first && !isGone(error)) throw error;
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }
  return { text: [], json: undefined };
}
