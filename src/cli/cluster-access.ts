import { KubeConfig } from '@kubernetes/client-node';
import { ApiError, ConfigError, ConnectionError, DeadlineError, KubeClient, messageOf } from '../kube/index.ts';
import { RouterCommandError } from './router-command-error.ts';
import { packageVersion } from './version.ts';

/** Flags of commands that talk to a cluster, named as kubectl's are. */
export const clusterFlags = {
  kubeconfig: { type: 'string' },
  context: { type: 'string' },
  namespace: { type: 'string', short: 'n' },
} as const;

export const clusterFlagsUsage = `  -n, --namespace NAME       [the context's, else default]
  --context NAME             of the kubeconfig                           [its current one]
  --kubeconfig FILE          [$KUBECONFIG, ~/.kube/config, else that of the pod this runs in]`;

export interface ClusterFlags {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  readonly namespace?: string | undefined;
}

export interface ClusterAccess {
  readonly client: KubeClient;
  readonly namespace: string;
}

/** A person waits: a cluster that is away is told of soon. */
const deadlineMs = 15_000;
const retries = 2;

/**
 * Runs `use` with a client of the cluster that the flags name.
 *
 * @throws RouterCommandError in place of the client's own errors
 */
export async function withCluster<T>(flags: ClusterFlags, use: (access: ClusterAccess) => Promise<T>): Promise<T> {
  const config = loadConfig(flags);
  const namespace = flags.namespace ?? config.getContextObject(config.getCurrentContext())?.namespace ?? 'default';
  let client: KubeClient | undefined;
  try {
    const options = { fieldManager: 'kubectl-r2r', userAgent: `kubectl-r2r/${packageVersion()}`, deadlineMs, retries };
    client = KubeClient.fromConfig(config, options);
    return await use({ client, namespace });
  } catch (error) {
    throw clusterError(error, client?.server ?? '');
  } finally {
    await client?.close();
  }
}

/** The flags that lead to the same cluster and namespace again, for commands that are suggested. */
export function sameCluster(flags: ClusterFlags): string {
  return (['namespace', 'context', 'kubeconfig'] as const)
    .flatMap((flag) => {
      const value = flags[flag];
      return value === undefined ? [] : [flag === 'namespace' ? ` -n ${value}` : ` --${flag} ${quoted(value)}`];
    })
    .join('');
}

function loadConfig({ kubeconfig, context }: ClusterFlags): KubeConfig {
  const config = new KubeConfig();
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (error) {
    const problem = `the kubeconfig${kubeconfig === undefined ? '' : ` ${kubeconfig}`} cannot be read: ${messageOf(error)}`;
    throw new RouterCommandError('CLUSTER_CONFIG', problem, 'name another one with --kubeconfig or in KUBECONFIG', { cause: error });
  }
  if (context === undefined) return config;
  const names = config.getContexts().map(({ name }) => name);
  if (!names.includes(context)) {
    const problem = `--context "${context}" is not in the kubeconfig`;
    throw new RouterCommandError('CLUSTER_CONFIG', problem, names.length > 0 ? `there are: ${names.join(', ')}` : 'it has no contexts');
  }
  config.setCurrentContext(context);
  return config;
}

function clusterError(error: unknown, server: string): unknown {
  const options = { cause: error };
  if (error instanceof ConfigError)
    return new RouterCommandError('CLUSTER_CONFIG', error.message, 'or name another context with --context', options);
  if (error instanceof ConnectionError || error instanceof DeadlineError)
    return new RouterCommandError('CLUSTER_AWAY', error.message, `check that ${server} is the cluster meant, and that it runs`, options);
  if (!(error instanceof ApiError)) return error;
  if (error.status === 401)
    return new RouterCommandError('CLUSTER_FORBIDDEN', error.message, 'log in again: the kubeconfig’s credentials are not taken', options);
  if (error.status === 403)
    return new RouterCommandError('CLUSTER_FORBIDDEN', error.message, 'ask for a role that allows it, or take another context', options);
  return new RouterCommandError('CLUSTER_REFUSED', error.message, 'see its message', options);
}

function quoted(value: string): string {
  return /^[\w./@:-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
