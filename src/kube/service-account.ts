import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { fingerprintOf, type Credential, type CredentialSource } from './credentials.ts';
import { ConfigError, messageOf } from './errors.ts';

/** Where the kubelet mounts what a pod's service account is known by. */
export const serviceAccountFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The kubelet renews tokens long before they expire, so one that was read a minute ago is still good, as for client-go. */
const freshMs = 60_000;

/**
 * The API server and the service account of the pod that this runs in, as the kubelet tells them: what client-node's `loadFromCluster` reads, without
 * loading client-node, whose modules alone take 70 MB. Token and certificate are read again every minute and after a 401.
 *
 * @param env - of the process: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT
 * @throws ConfigError when the environment does not say where the API server is
 */
export function serviceAccountCredentials(env: NodeJS.ProcessEnv, folder = serviceAccountFolder): CredentialSource {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (!host)
    throw new ConfigError(
      `${folder} is there, but KUBERNETES_SERVICE_HOST is not set: run this in a pod, or set KUBECONFIG to reach a cluster from elsewhere`,
    );
  const origin = URL.parse(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`)?.origin;
  if (origin === undefined)
    throw new ConfigError(`KUBERNETES_SERVICE_HOST "${host}" and KUBERNETES_SERVICE_PORT "${port}" must be a host and a port`);
  let loaded: { readonly until: number; readonly credential: Promise<Credential> } | undefined;
  const forget = (credential: Promise<Credential>): void => {
    if (loaded?.credential === credential) loaded = undefined;
  };
  return {
    origin,
    basePath: '',
    current() {
      if (!loaded || performance.now() > loaded.until) {
        const credential = read(folder);
        loaded = { until: performance.now() + freshMs, credential };
        credential.catch(() => forget(credential));
      }
      return loaded.credential;
    },
    renew() {
      loaded = undefined;
    },
  };
}

async function read(folder: string): Promise<Credential> {
  try {
    const [token, ca] = await Promise.all(['token', 'ca.crt'].map((file) => readFile(join(folder, file), 'utf8')));
    const dispatcher = { type: 'agent', connect: { ca } } as const;
    return { headers: { authorization: `Bearer ${(token ?? '').trim()}` }, dispatcher, fingerprint: fingerprintOf(dispatcher) };
  } catch (error) {
    throw new ConfigError(`the pod's service account: ${messageOf(error)}`, { cause: error });
  }
}
