import type { Chart } from 'cdk8s';
import { labelKeys, ports, revisionNames, selectorLabels, workerComponent } from '../api/names.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { addBuiltIn } from './built-in-objects.ts';
import { operatorLabels } from './options.ts';
import type { RenderOptions } from './options.ts';
import type { PodTemplates } from './pod-templates.ts';

const namespaceName = 'kubernetes.io/metadata.name';

/**
 * Ingress of a revision's pods. SLM pods: anyone to the API, the operator (and the monitoring namespace) to the admin port; their engine
 * ports are open to no one, a pod always reaches itself. LLM pods: the routers of the same revision only, and where the LLM spans nodes its pods
 * among each other, on any port. The kubelet's probes come from the node and are not subject to policies. Egress stays open: routers need the
 * API server, whose address no selector can name.
 */
export function addNetworkPolicies(
  chart: Chart,
  deployment: R2RDeployment,
  revision: string,
  options: RenderOptions,
  { llm, group }: PodTemplates,
): void {
  const { metadata, spec } = deployment;
  const names = revisionNames(metadata.name, revision);
  const routers = selectorLabels(metadata.name, revision, 'slm');
  const { monitoringNamespace } = spec.networkPolicy;
  const tcp = (port: number) => ({ protocol: 'TCP', port });
  addBuiltIn(chart, 'slm-policy', 'NetworkPolicy', {
    metadata: { name: names.slm },
    spec: {
      podSelector: { matchLabels: routers },
      policyTypes: ['Ingress'],
      ingress: [
        { ports: [tcp(ports.router)] },
        {
          from: [
            {
              namespaceSelector: { matchLabels: { [namespaceName]: options.operatorNamespace } },
              podSelector: { matchLabels: { ...operatorLabels } },
            },
            ...(monitoringNamespace === undefined
              ? []
              : [{ namespaceSelector: { matchLabels: { [namespaceName]: monitoringNamespace } } }]),
          ],
          ports: [tcp(ports.admin)],
        },
      ],
    },
  });
  if (!llm) return;
  const leaders = { matchLabels: selectorLabels(metadata.name, revision, 'llm') };
  const workers = { matchLabels: { ...selectorLabels(metadata.name, revision), [labelKeys.component]: workerComponent } };
  addBuiltIn(chart, 'llm-policy', 'NetworkPolicy', {
    metadata: { name: names.llm },
    spec: {
      podSelector: leaders,
      policyTypes: ['Ingress'],
      ingress: [
        { from: [{ podSelector: { matchLabels: routers } }], ports: [tcp(ports.engine)] },
        ...(group ? [{ from: [{ podSelector: workers }] }] : []),
      ],
    },
  });
  if (!group) return;
  addBuiltIn(chart, 'worker-policy', 'NetworkPolicy', {
    metadata: { name: names.workers },
    spec: {
      podSelector: workers,
      policyTypes: ['Ingress'],
      ingress: [{ from: [{ podSelector: leaders }, { podSelector: workers }] }],
    },
  });
}
