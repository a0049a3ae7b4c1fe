import type { R2RRouter } from '../api/r2rrouter.ts';
import type { RouterBundleRecord } from '../api/r2rrouter-status.ts';
import { RouterCommandError } from './router-command-error.ts';

const shortestPrefix = 8;

export function shortDigest(digest: string): string {
  return digest.slice(0, 12);
}

/** What the spec asks for: the bundle that it names, else the one that is offered. The status follows the spec a moment later. */
export function bundleInForce({ spec, status }: Pick<R2RRouter, 'spec' | 'status'>): string | undefined {
  return spec.rollout.bundle ?? status?.bundle?.digest;
}

/**
 * The bundle of the history that a beginning of its digest means, whatever the gate said of it.
 *
 * @throws RouterCommandError `ROUTER_BUNDLE_UNKNOWN` | `ROUTER_BUNDLE_AMBIGUOUS` with those there are
 */
export function namedBundle(history: readonly RouterBundleRecord[], prefix: string): RouterBundleRecord {
  const found = history.filter(({ digest }) => digest.startsWith(prefix));
  const [only, another] = found;
  if (only && !another) return only;
  if (only) {
    const problem = `--to ${prefix} means any of ${found.map(({ digest }) => digest.slice(0, prefix.length + 8)).join(', ')}`;
    throw new RouterCommandError('ROUTER_BUNDLE_AMBIGUOUS', problem, 'give more digits');
  }
  throw new RouterCommandError('ROUTER_BUNDLE_UNKNOWN', `--to ${prefix}: status.history has no such bundle`, listed(history));
}

/**
 * The newest bundle that passed the gate before the one in force.
 *
 * @throws RouterCommandError `ROUTER_NOTHING_BEFORE`
 */
export function bundleBefore(router: Pick<R2RRouter, 'spec' | 'status'>): RouterBundleRecord {
  const { history = [] } = router.status ?? {};
  const current = bundleInForce(router);
  const at = history.findIndex(({ digest }) => digest === current);
  const target = at < 0 ? undefined : history.slice(at + 1).find(({ gate }) => gate === 'Passed');
  if (target) return target;
  if (current === undefined)
    throw new RouterCommandError('ROUTER_NOTHING_BEFORE', 'no bundle is offered that one could go back from', listed(history));
  const problem =
    at < 0
      ? `status.history has no ${shortDigest(current)}, which is in force, so nothing says what came before it`
      : `no bundle before ${shortDigest(current)}, which is in force, has passed the gate`;
  throw new RouterCommandError('ROUTER_NOTHING_BEFORE', problem, `name one with --to; ${listed(history)}`);
}

/** Hexadecimal digits, lower case; undefined for what is no beginning of a digest. */
export function digestPrefix(text: string): string | undefined {
  const prefix = text.toLowerCase().replace(/^sha256:/, '');
  return /^[0-9a-f]{1,64}$/.test(prefix) && prefix.length >= shortestPrefix ? prefix : undefined;
}

function listed(history: readonly RouterBundleRecord[]): string {
  if (history.length === 0) return 'it is empty: no bundle has been made yet';
  return `there are: ${history.map(({ digest, gate }) => `${shortDigest(digest)} (${gate.toLowerCase()})`).join(', ')}`;
}
