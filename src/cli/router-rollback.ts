import { parseArgs } from 'node:util';
import type { R2RRouter } from '../api/r2rrouter.ts';
import type { RouterBundleRecord } from '../api/r2rrouter-status.ts';
import { clusterFlags, clusterFlagsUsage, sameCluster, withCluster, type ClusterFlags } from './cluster-access.ts';
import { UsageError, parsed, runCommand, type CommandResult } from './command.ts';
import { bundleBefore, bundleInForce, digestPrefix, namedBundle, shortDigest } from './rollback-target.ts';
import { RouterCommandError } from './router-command-error.ts';
import { asksForJson, outputOf } from './router-history.ts';
import { r2rRouters } from '../controllers/resource-types.ts';
import { findRouter, routerName } from './router-resource.ts';
import { ageText, percentText } from './text-table.ts';

const usage = `usage: kubectl r2r router rollback NAME [--to DIGEST | --undo] [flags]

Has deployments go back to an earlier bundle of an R2RRouter, by setting spec.rollout.bundle. Until that is undone, bundles that are made later
are not rolled out.

  --to DIGEST                a bundle of \`kubectl r2r router history NAME\`, or the first 8 digits or more of its digest
                             [the newest before the one offered that passed the gate]
  --undo                     removes spec.rollout.bundle: the newest that passed the gate is offered again
${clusterFlagsUsage}
  -o, --output json          print what was done, or the error, as JSON`;

const flags = {
  ...clusterFlags,
  to: { type: 'string' },
  undo: { type: 'boolean', default: false },
  output: { type: 'string', short: 'o' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** `kubectl r2r router rollback` and `r2r router rollback`. */
export function routerRollback(argv: readonly string[]): Promise<void> {
  return runCommand({ name: 'kubectl r2r router rollback', json: asksForJson(argv) }, async (signal) => {
    const { values, positionals } = parsed(() => parseArgs({ args: [...argv], options: flags, allowPositionals: true }));
    if (values.help) return { text: [usage], json: { usage } };
    const name = routerName(positionals);
    if (values.output !== undefined && outputOf(values.output) !== 'json')
      throw new UsageError(`--output must be json, got "${values.output}"`);
    if (values.to !== undefined && values.undo) throw new UsageError('--to and --undo contradict each other');
    const prefix = values.to === undefined ? undefined : digestPrefix(values.to);
    if (values.to !== undefined && prefix === undefined)
      throw new UsageError(`--to must be 8 to 64 hexadecimal digits of a bundle's digest, got "${values.to}"`);
    return withCluster(values, async (access) => {
      const router = await findRouter(access, name, signal);
      const key = { namespace: access.namespace, name };
      const write = (bundle: string | null) => access.client.patch(r2rRouters, key, { spec: { rollout: { bundle } } }, { signal });
      if (values.undo) return undo(router, write);
      const target = prefix === undefined ? bundleBefore(router) : namedBundle(router.status?.history ?? [], prefix);
      await write(target.digest);
      return rolledBack(router, target, values);
    });
  });
}

async function undo(router: R2RRouter, write: (bundle: null) => Promise<unknown>): Promise<CommandResult> {
  const { metadata, spec, status } = router;
  const { bundle, policy } = spec.rollout;
  if (bundle === undefined)
    return { text: ['nothing is to be undone: spec.rollout.bundle is not set'], json: { ...keyOf(router), changed: false } };
  if (policy === 'Manual') {
    const problem = `R2RRouter ${metadata.name}: spec.rollout.policy is Manual, which rolls out the bundle that spec.rollout.bundle names`;
    throw new RouterCommandError('ROUTER_POLICY_MANUAL', problem, 'name another one with --to, or set spec.rollout.policy: Automatic');
  }
  await write(null);
  const newest = status?.history?.find(({ gate }) => gate === 'Passed');
  const next = newest ? `the newest that passed the gate is offered again: ${described(newest)}` : 'no bundle has passed the gate yet';
  return {
    text: [`spec.rollout.bundle of R2RRouter ${metadata.name} no longer names ${shortDigest(bundle)}`, next],
    json: { ...keyOf(router), changed: true, from: bundle, ...(newest && { to: newest.digest }) },
  };
}

function rolledBack(router: R2RRouter, target: RouterBundleRecord, cluster: ClusterFlags): CommandResult {
  const { metadata, spec, status } = router;
  const from = bundleInForce(router);
  const command = `kubectl r2r router rollback ${metadata.name}${sameCluster(cluster)}`;
  const { bundle: before, policy, observeSeconds } = spec.rollout;
  const back = before === undefined ? `${command} --undo` : `${command} --to ${before.slice(0, 12)}`;
  const names = (status?.deployments ?? []).map(({ name }) => name);
  return {
    text: [
      `spec.rollout.bundle of R2RRouter ${metadata.name} names ${described(target)}`,
      ...(from === undefined || from === target.digest ? [] : [`it was ${shortDigest(from)} before`]),
      ...(target.gate === 'Passed' ? [] : [`note: the gate refused this one: ${target.message}`]),
      names.length > 0
        ? `deployments get it one after the other, each observed for ${observeSeconds} s: ${names.join(', ')}`
        : 'no deployment follows this router yet; those that will get this bundle',
      ...(policy === 'Automatic' ? ['bundles that are made from now on are not rolled out until this is undone'] : []),
      `to undo: ${back}`,
    ],
    json: { ...keyOf(router), changed: before !== target.digest, ...(from !== undefined && { from }), to: target.digest, undo: back },
  };
}

function described({ digest, recall, positiveRate, madeAt }: RouterBundleRecord): string {
  const measured =
    recall === undefined ? 'not measured' : `recall ${percentText(recall)}, ${percentText(positiveRate)} of the tokens to the LLM`;
  return `${shortDigest(digest)} (${measured}, made ${ageText(madeAt, new Date())} ago)`;
}

function keyOf({ metadata }: R2RRouter) {
  return { namespace: metadata.namespace, name: metadata.name };
}
