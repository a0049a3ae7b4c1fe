/** The router's live inputs when it runs in a pod: its ConfigMap and the EndpointSlices of its LLM Service, watched through the API server. */
import { KubeConfig } from '@kubernetes/client-node';
import { routerConfigKey } from '../api/router-config.ts';
import { Informer, KubeClient, configMaps, endpointSlices } from '../kube/index.ts';
import type { Live, Logger } from '../kube/index.ts';
import type { ConfigMap, EndpointSlice } from '../kube/resources.ts';
import type { ConfigSource, EndpointSource } from '../router/index.ts';
import type { LlmEndpoint } from '../router/llm-replica.ts';
import { packageVersion } from './version.ts';

export interface ClusterSourcesOptions {
  readonly namespace: string;
  /** Name of the ConfigMap with key `router.json`. */
  readonly configMap: string;
  readonly logger: Logger;
}

/** The watches, with the pod's service account. While the API server is away the last state stays in force. */
export function clusterSources({ namespace, configMap, logger }: ClusterSourcesOptions): {
  readonly config: ConfigSource;
  /** @param llmService - name of the headless Service of the LLM pods */
  readonly llmEndpoints: (llmService: string) => EndpointSource;
} {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromCluster();
  const client = KubeClient.fromConfig(kubeConfig, { fieldManager: 'r2r-router', userAgent: `r2r-router/${packageVersion()}`, logger });
  return {
    config: {
      subscribe(listener) {
        // a Role that names its ConfigMap lets only a list of that one name through
        const maps = new Informer(client, configMaps, { namespace, fieldSelector: `metadata.name=${configMap}`, logger });
        const take = (map: Live<ConfigMap>): void => {
          const text = map.data?.[routerConfigKey];
          if (text !== undefined) listener(text);
          else logger.error({ configMap, key: routerConfigKey }, 'the ConfigMap lacks its key, the last configuration stays');
        };
        maps.addHandler({ onAdd: take, onUpdate: (_before, after) => take(after) });
        maps.start();
        return () => void maps.stop();
      },
    },
    llmEndpoints: (llmService) => ({
      subscribe(listener) {
        const slices = new Informer(client, endpointSlices, {
          namespace,
          labelSelector: `kubernetes.io/service-name=${llmService}`,
          logger,
        });
        const take = (): void => listener(endpointsOf(slices.list()));
        slices.addHandler({ onAdd: take, onUpdate: take, onDelete: take });
        slices.start();
        return () => void slices.stop();
      },
    }),
  };
}

/** Every address of the Service once, in a stable order; while a pod moves between slices it may stand in two. */
export function endpointsOf(slices: readonly Pick<Live<EndpointSlice>, 'ports' | 'endpoints'>[]): LlmEndpoint[] {
  const found = new Map<string, LlmEndpoint>();
  for (const slice of slices) {
    const port = slice.ports?.find(({ name }) => name === 'engine')?.port ?? slice.ports?.[0]?.port;
    if (port === undefined) continue;
    for (const { addresses, conditions, targetRef } of slice.endpoints ?? []) {
      const [address] = addresses;
      if (address === undefined) continue;
      const url = `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
      const ready = (conditions?.ready ?? true) || (found.get(url)?.ready ?? false);
      found.set(url, { url, podUID: targetRef?.uid, ready });
    }
  }
  return [...found.values()].sort((a, b) => (a.url < b.url ? -1 : 1));
}
