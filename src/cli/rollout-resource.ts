import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { r2rDeployments } from '../controllers/resource-types.ts';
import type { Live } from '../kube/index.ts';
import type { ClusterAccess } from './cluster-access.ts';
import { UsageError } from './command.ts';
import { RolloutCommandError } from './rollout-command-error.ts';

/** The one name among the arguments; `r2r/NAME` is taken, too. @throws UsageError */
export function deploymentName([name = '', ...more]: readonly string[]): string {
  const bare = name.replace(/^(r2r|r2rdeployments?(\.r2r\.dev)?)\//, '');
  if (bare === '') throw new UsageError('NAME of the R2RDeployment is missing');
  if (more[0] !== undefined) throw new UsageError(`one R2RDeployment at a time; what is ${JSON.stringify(more[0])}?`);
  return bare;
}

/** @throws RolloutCommandError `DEPLOYMENT_NOT_FOUND`; errors of the client */
export async function findDeployment(
  { client, namespace }: ClusterAccess,
  name: string,
  signal: AbortSignal,
): Promise<Live<R2RDeployment>> {
  const found = await client.find(r2rDeployments, { namespace, name }, { signal });
  if (found) return found;
  const fix = 'give another name, or another namespace with -n';
  throw new RolloutCommandError('DEPLOYMENT_NOT_FOUND', `there is no R2RDeployment "${name}" in namespace ${namespace}`, fix);
}
