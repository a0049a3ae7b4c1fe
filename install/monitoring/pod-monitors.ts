import { labelKeys } from '../../src/api/names.ts';
import { routerJobComponent, routerLabelKeys } from '../../src/api/r2rrouter-names.ts';
import { operatorLabels } from '../../src/manifests/index.ts';
import type { JsonObject, KubeObject } from '../../src/manifests/index.ts';
import { monitoringDefaults, monitoringLabels } from './options.ts';
import type { MonitoringOptions, ScrapedComponent } from './options.ts';

/** Labels that every series of a component gets, beside Prometheus' own `namespace`, `pod` and `container`. */
export const targetLabels: Readonly<Record<ScrapedComponent, readonly string[]>> = {
  operator: ['r2r_component'],
  router: ['r2r_component', 'r2r_deployment', 'r2r_revision'],
  pipeline: ['r2r_component', 'r2r_router'],
};

/** Of the operator, of the routers of all namespaces, and of the Jobs of R2RRouters. Model servers speak to routers only, which republish their load. */
export function podMonitors(options: MonitoringOptions = {}): readonly KubeObject[] {
  const { namespace } = { ...monitoringDefaults, ...options };
  return [
    podMonitor(options, 'operator', {
      namespaces: { matchNames: [namespace] },
      selector: { matchLabels: { ...operatorLabels } },
      port: 'metrics',
      relabelings: [],
    }),
    podMonitor(options, 'router', {
      namespaces: { any: true },
      selector: { matchLabels: { [labelKeys.name]: 'r2r', [labelKeys.component]: 'slm' } },
      port: 'admin',
      relabelings: [fromPodLabel(labelKeys.instance, 'r2r_deployment'), fromPodLabel(labelKeys.revision, 'r2r_revision')],
    }),
    podMonitor(options, 'pipeline', {
      namespaces: { any: true },
      selector: {
        matchLabels: { [labelKeys.name]: 'r2r', [labelKeys.component]: routerJobComponent },
        // the trainer says how far it is, and has no metrics
        matchExpressions: [{ key: routerLabelKeys.step, operator: 'NotIn', values: ['train'] }],
      },
      port: 'status',
      relabelings: [fromPodLabel(labelKeys.instance, 'r2r_router')],
    }),
  ];
}

interface Scraping {
  readonly namespaces: JsonObject;
  readonly selector: JsonObject;
  readonly port: string;
  readonly relabelings: readonly JsonObject[];
}

function podMonitor(
  options: MonitoringOptions,
  component: ScrapedComponent,
  { namespaces, selector, port, relabelings }: Scraping,
): KubeObject {
  const { namespace, labels, interval } = { ...monitoringDefaults, ...options };
  return {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PodMonitor',
    metadata: { name: `r2r-${component}`, namespace, labels: { ...monitoringLabels, ...labels } },
    spec: {
      namespaceSelector: namespaces,
      selector,
      podMetricsEndpoints: [
        {
          port,
          path: '/metrics',
          interval,
          // the operator's series are about resources of other namespaces; what tenants' pods say of theirs is not believed
          ...(component === 'operator' && { honorLabels: true }),
          relabelings: [
            { targetLabel: 'r2r_component', replacement: component },
            ...relabelings,
            // the port's name would take the place of the label by which routers tell LLM replicas apart
            { action: 'labeldrop', regex: 'endpoint' },
          ],
        },
      ],
    },
  };
}

function fromPodLabel(label: string, targetLabel: string): JsonObject {
  return { sourceLabels: [`__meta_kubernetes_pod_label_${label.replaceAll(/[^A-Za-z0-9_]/g, '_')}`], targetLabel };
}
