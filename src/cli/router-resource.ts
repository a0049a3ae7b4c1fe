import type { R2RRouter } from '../api/r2rrouter.ts';
import { r2rRouters } from '../controllers/resource-types.ts';
import { ApiError, isNotFound, type Live } from '../kube/index.ts';
import { UsageError } from './command.ts';
import type { ClusterAccess } from './cluster-access.ts';
import { RouterCommandError } from './router-command-error.ts';

/** The one name among the arguments. @throws UsageError */
export function routerName([name, ...more]: readonly string[]): string {
  if (name === undefined || name === '') throw new UsageError('NAME of the R2RRouter is missing');
  if (more[0] !== undefined) throw new UsageError(`one R2RRouter at a time; what is ${JSON.stringify(more[0])}?`);
  return name;
}

/** @throws RouterCommandError `ROUTER_NOT_FOUND` with those there are; errors of the client */
export async function findRouter({ client, namespace }: ClusterAccess, name: string, signal: AbortSignal): Promise<Live<R2RRouter>> {
  const found = await client.find(r2rRouters, { namespace, name }, { signal });
  if (found) return found;
  const there = await client.list(r2rRouters, { namespace, signal }).catch((error: unknown) => {
    // whoever may look at one by name need not be allowed to list them
    if (error instanceof ApiError && error.status === 403) return undefined;
    if (!isNotFound(error)) throw error;
    const fix = 'install the CRDs (crds/), or take another context';
    throw new RouterCommandError('CLUSTER_CRD_MISSING', `${client.server} knows no R2RRouters`, fix, { cause: error });
  });
  const names = there?.items.map(({ metadata }) => metadata.name) ?? [];
  const others = there === undefined ? '' : names.length > 0 ? `; there are: ${names.sort().join(', ')}` : '; it has none';
  const fix = 'give another name, or another namespace with -n';
  throw new RouterCommandError('ROUTER_NOT_FOUND', `there is no R2RRouter "${name}" in namespace ${namespace}${others}`, fix);
}
