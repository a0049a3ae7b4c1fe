import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { KubeClient, serviceAccountCredentials, serviceAccountFolder, type ClientOptions } from '../kube/index.ts';

/**
 * The client of the cluster that client-node's `loadFromDefault` finds: of the kubeconfig in KUBECONFIG, of ~/.kube/config, else that of the pod this
 * runs in. A pod does not load client-node, which only kubeconfigs need.
 */
export async function operatorClient(options: ClientOptions): Promise<KubeClient> {
  if (!hasKubeconfig(process.env) && existsSync(join(serviceAccountFolder, 'token')))
    return KubeClient.fromCredentials(serviceAccountCredentials(process.env), options);
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromDefault();
  return KubeClient.fromConfig(config, options);
}

function hasKubeconfig({ KUBECONFIG, HOME }: NodeJS.ProcessEnv): boolean {
  return Boolean(KUBECONFIG) || (Boolean(HOME) && existsSync(join(HOME ?? '', '.kube/config')));
}
