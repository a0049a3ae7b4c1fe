/** The router's live inputs when it runs in a pod: its ConfigMap and the EndpointSlices of its LLM Service, both watched through the API server. */
import { KubeConfig } from '@kubernetes/client-node';
import { routerConfigKey, routerConfigSchema } from '../api/router-config.ts';
import type { RouterConfig } from '../api/router-config.ts';
import { Informer, KubeClient, configMaps, endpointSlices } from '../kube/index.ts';
import type { Live, Logger } from '../kube/index.ts';
import type { ConfigMap, EndpointSlice } from '../kube/resources.ts';
import type { LlmEndpoint } from '../router/llm-pool.ts';
import { packageVersion } from './version.ts';

export interface ClusterSourcesOptions {
  readonly namespace: string;
  readonly configMap: string;
  readonly llmService: string;
  readonly logger: Logger;
  /** Called with every valid configuration, the first one included; a bad one is logged and the last good one stays. */
  readonly onConfig: (config: RouterConfig) => void;
  /** Called with the whole list whenever it changes. */
  readonly onEndpoints: (endpoints: readonly LlmEndpoint[]) => void;
}

/**
 * Starts both watches; resolves once each has been read for the first time. While the API server is away the last state stays in force.
 *
 * @returns a function that stops the watches
 * @throws when the ConfigMap does not exist or the signal aborts first
 */
export async function watchCluster(options: ClusterSourcesOptions, signal: AbortSignal): Promise<() => Promise<void>> {
  const { namespace, logger } = options;
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromCluster();
  const client = KubeClient.fromConfig(kubeConfig, { fieldManager: 'r2r-router', userAgent: `r2r-router/${packageVersion()}`, logger });
  // a Role that names its ConfigMap lets only a list of that one name through
  const configs = new Informer(client, configMaps, { namespace, fieldSelector: `metadata.name=${options.configMap}`, logger });
  const slices = new Informer(client, endpointSlices, {
    namespace,
    labelSelector: `kubernetes.io/service-name=${options.llmService}`,
    logger,
  });

  const takeConfig = (map: Live<ConfigMap>): void => {
    const config = parseConfig(map);
    if (typeof config === 'string')
      logger.error({ configMap: map.metadata.name, reason: config }, 'configuration refused, the last one stays');
    else options.onConfig(config);
  };
  const takeSlices = (): void => options.onEndpoints(endpointsOf(slices.list()));
  configs.addHandler({ onAdd: takeConfig, onUpdate: (_before, after) => takeConfig(after) });
  slices.addHandler({ onAdd: takeSlices, onUpdate: takeSlices, onDelete: takeSlices });
  configs.start();
  slices.start();
  const stop = async (): Promise<void> => {
    await Promise.all([configs.stop(), slices.stop()]);
    await client.close();
  };
  try {
    await Promise.all([configs.waitForSync(signal), slices.waitForSync(signal)]);
    if (configs.list().length === 0) throw new Error(`ConfigMap ${namespace}/${options.configMap} does not exist`);
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
}

function parseConfig(map: Live<ConfigMap>): RouterConfig | string {
  try {
    const parsed = routerConfigSchema.safeParse(JSON.parse(map.data?.[routerConfigKey] ?? ''));
    if (parsed.success) return parsed.data;
    return parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
  } catch (error) {
    return `${routerConfigKey}: ${String(error)}`;
  }
}

/** Every address of the Service once, in a stable order; while a pod moves between slices it may stand in two. */
export function endpointsOf(slices: readonly Live<EndpointSlice>[]): LlmEndpoint[] {
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
