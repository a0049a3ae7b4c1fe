import { ApiObject } from 'cdk8s';
import type { Chart } from 'cdk8s';
import { canonicalJson } from '../api/canonical-json.ts';
import { endpointServiceName, labelKeys, labels, ports, revisionNames, selectorLabels } from '../api/names.ts';
import type { Component, Scheme } from '../api/names.ts';
import { ownerReference } from '../api/r2rdeployment.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { routerConfigKey } from '../api/router-config.ts';
import type { RouterConfig } from '../api/router-config.ts';
import { addBuiltIn } from './built-in-objects.ts';
import { addDisruptionBudgets } from './disruption-budgets.ts';
import type { JsonObject, KubeObject } from './json.ts';
import { addLeaderWorkerSet } from './llm-group.ts';
import { addNetworkPolicies } from './network-policies.ts';
import type { RenderOptions } from './options.ts';
import type { PodTemplates } from './pod-templates.ts';
import { addRouterAccess } from './router-access.ts';
import { synthesize } from './synthesis.ts';

export interface RevisionInput {
  /** The resource, whose spec is the one this revision came from: during a roll-out the old revision's children follow the old spec. */
  readonly deployment: R2RDeployment;
  readonly revision: string;
  /** As pinned for this revision, not necessarily as this version would render them. */
  readonly templates: PodTemplates;
  readonly config: RouterConfig;
  readonly replicas: { readonly slm: number; readonly llm: number };
}

/**
 * All children of one revision, in the order to apply them: what pods need comes before the pods. Pure and deterministic. The
 * NetworkPolicies and PodDisruptionBudgets are missing from the list when the spec switches them off; the caller deletes what is no longer in it.
 */
export function revisionChildren(input: RevisionInput, options: RenderOptions): readonly KubeObject[] {
  const { deployment, revision, templates, config } = input;
  const { name } = deployment.metadata;
  const names = revisionNames(name, revision);
  return synthesize(scope(deployment, revision), (chart) => {
    addRouterAccess(chart, name, revision, templates.llm !== undefined);
    addBuiltIn(chart, 'router-config', 'ConfigMap', {
      metadata: { name: names.router },
      data: { [routerConfigKey]: canonicalJson(config) },
    });
    if (deployment.spec.networkPolicy.enabled) addNetworkPolicies(chart, deployment, revision, options, templates);
    if (deployment.spec.podDisruptionBudget.enabled) addDisruptionBudgets(chart, name, revision, templates.llm ? ['slm', 'llm'] : ['slm']);
    if (templates.llm) addLLM(chart, input, templates.llm);
    addDeployment(chart, 'slm', input, templates.slm);
  });
}

/** The LLM's pods, and what routers find them by: a Service on those that serve. */
function addLLM(chart: Chart, input: RevisionInput, template: JsonObject): void {
  const { deployment, revision, templates, replicas } = input;
  const { name } = deployment.metadata;
  addBuiltIn(chart, 'llm-service', 'Service', {
    metadata: { name: revisionNames(name, revision).llm, labels: { [labelKeys.component]: 'llm' } },
    spec: {
      clusterIP: 'None',
      selector: selectorLabels(name, revision, 'llm'),
      ports: [{ name: 'engine', port: ports.engine, targetPort: 'engine', protocol: 'TCP' }],
    },
  });
  if (!templates.group) addDeployment(chart, 'llm', input, template);
  else addLeaderWorkerSet(chart, name, revision, { replicas: replicas.llm, leader: template, group: templates.group });
}

/**
 * The endpoint Service, on the pods of the revision that serves. It belongs to no revision: it moves from one to the next.
 *
 * @param schemes - what the API is to be reached by: the spec's, and beside it what pods that are still to be replaced speak
 */
export function endpointService(deployment: R2RDeployment, servingRevision: string, schemes: ReadonlySet<Scheme>): KubeObject {
  const { metadata, spec } = deployment;
  const [service] = synthesize(scope(deployment), (chart) => {
    addBuiltIn(chart, 'endpoint', 'Service', {
      metadata: {
        name: endpointServiceName(metadata.name),
        ...(spec.api.service.annotations && { annotations: spec.api.service.annotations }),
      },
      spec: {
        type: spec.api.service.type,
        selector: selectorLabels(metadata.name, servingRevision, 'slm'),
        ports: (['http', 'https'] as const)
          .filter((scheme) => schemes.has(scheme))
          .map((scheme) => ({
            name: scheme,
            port: scheme === 'https' ? ports.serviceTls : ports.service,
            targetPort: scheme,
            protocol: 'TCP',
            appProtocol: scheme,
          })),
      },
    });
  });
  if (!service) throw new TypeError('cdk8s rendered no endpoint Service');
  return service;
}

function scope(deployment: R2RDeployment, revision?: string) {
  const { name, namespace = 'default' } = deployment.metadata;
  return { namespace, labels: labels(name, revision), owner: { ...ownerReference(deployment) } };
}

/** A plain ApiObject: cdk8s's typed Deployment would drop the sidecar's restartPolicy, which is newer than its Kubernetes 1.27. */
function addDeployment(chart: Chart, role: Component, { deployment, revision, replicas }: RevisionInput, template: JsonObject): void {
  const { metadata, spec } = deployment;
  const inPlace = spec.rollout.strategy === 'InPlace';
  new ApiObject(chart, `${role}-deployment`, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: revisionNames(metadata.name, revision)[role], labels: { [labelKeys.component]: role } },
    spec: {
      replicas: replicas[role],
      selector: { matchLabels: selectorLabels(metadata.name, revision, role) },
      // Within a revision only the router's image or resources change the pods: one pod more for a while, or where there is no room one less.
      strategy: { type: 'RollingUpdate', rollingUpdate: inPlace ? { maxSurge: 0, maxUnavailable: 1 } : { maxSurge: 1, maxUnavailable: 0 } },
      progressDeadlineSeconds: spec.rollout.progressDeadlineSeconds,
      revisionHistoryLimit: 2,
      template,
    },
  });
}
