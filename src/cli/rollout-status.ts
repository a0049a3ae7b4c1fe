import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { clusterFlags, clusterFlagsUsage, withCluster, type ClusterAccess } from './cluster-access.ts';
import { UsageError, parsed, runCommand } from './command.ts';
import { goDuration } from './go-duration.ts';
import { RolloutCommandError } from './rollout-command-error.ts';
import { rolloutProgress } from './rollout-progress.ts';
import { deploymentName } from './rollout-name.ts';
import { findDeployment } from './view/resources.ts';

const usage = `usage: kubectl r2r rollout status NAME [flags]

Waits until the present spec of an R2RDeployment is rolled out, and says what it waits for. Ends with 0 when it is, and with 1 when it is
stalled, paused by spec.rollout.strategy: None, or not there within --timeout.

  -w, --watch[=true|false]   wait; with false the state of now is told, and a roll-out under way ends with 0   [true]
  --timeout DURATION         such as 30s, 5m or 1h30m; 0 waits for ever                                        [0]
${clusterFlagsUsage}`;

const flags = {
  ...clusterFlags,
  watch: { type: 'boolean', short: 'w', default: true },
  timeout: { type: 'string', default: '0' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

const pollMs = 1000;

/** `kubectl r2r rollout status`. */
export function rolloutStatus(argv: readonly string[]): Promise<void> {
  return runCommand({ name: 'kubectl r2r rollout status', json: false }, async (signal) => {
    const args = argv.map(asNodeTakesIt);
    const { values, positionals } = parsed(() => parseArgs({ args, options: flags, allowPositionals: true, allowNegative: true }));
    if (values.help) return { text: [usage], json: { usage } };
    const name = deploymentName(positionals);
    const timeoutMs = goDuration(values.timeout);
    if (timeoutMs === undefined) throw new UsageError(`--timeout must be a duration such as 30s, 5m or 1h30m, got "${values.timeout}"`);
    const deadlineMs = timeoutMs === 0 ? Infinity : performance.now() + timeoutMs;
    const line = await withCluster(values, (access) => follow(access, name, { watch: values.watch, deadlineMs }, signal));
    return { text: [line], json: { line } };
  });
}

/** As kubectl's Boolean flags are written, which node's parser does not know. */
function asNodeTakesIt(argument: string): string {
  const [, value] = /^(?:--watch|-w)=(true|false)$/.exec(argument) ?? [];
  return value === undefined ? argument : value === 'true' ? '--watch' : '--no-watch';
}

/** Prints what is waited for each time that it changes. Resolves to the last line. */
async function follow(
  access: ClusterAccess,
  name: string,
  { watch, deadlineMs }: { readonly watch: boolean; readonly deadlineMs: number },
  signal: AbortSignal,
): Promise<string> {
  let before = '';
  for (;;) {
    const { done, line } = rolloutProgress(await findDeployment({ ...access, signal }, name));
    if (done || !watch) return line;
    if (line !== before) console.log(line);
    before = line;
    if (performance.now() >= deadlineMs) {
      throw new RolloutCommandError('ROLLOUT_TIMEOUT', 'timed out', `see \`kubectl describe r2r ${name}\`, or wait longer with --timeout`);
    }
    await sleep(Math.min(pollMs, deadlineMs - performance.now()), undefined, { signal });
  }
}
