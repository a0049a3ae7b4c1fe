import { withLocalModels } from '../api/cached-models.ts';
import { containers, labels, revisionNames } from '../api/names.ts';
import type { Component } from '../api/names.ts';
import type { ModelServer, PodTemplateOverlay } from '../api/model-server.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { revisionOf } from '../api/revision.ts';
import { gpuTolerations, podSecurityContext } from './container.ts';
import { colocatedContainer, colocatedGpus } from './colocated-container.ts';
import { engineContainer, engineVolumes, gpuCount } from './engine-container.ts';
import { isObject } from './json.ts';
import type { JsonObject } from './json.ts';
import { leaderContainer, workerContainer, workerLabels } from './llm-group.ts';
import type { PodGroup } from './llm-group.ts';
import { modelSource, modelVolumes } from './model-source.ts';
import type { RenderOptions } from './options.ts';
import { OverlayError, mergePodSpec } from './overlay.ts';
import { routerContainer, routerVolumes } from './router-container.ts';
import { networkSources, routerGpuCount } from './router-network.ts';
import { cacheNodes, nodeLabels, togetherWith } from './shared-node.ts';
import { spreadOverNodes } from './spread.ts';

/** The pods of a revision, by what makes them. */
export interface PodTemplates {
  /** `template` of the SLM Deployment. */
  readonly slm: JsonObject;
  /** That of the LLM Deployment, or of the leaders where there is a `group`. Absent with placement Colocated: the LLM is in the SLM pod. */
  readonly llm?: JsonObject;
  /** The LLM spans nodes. */
  readonly group?: PodGroup;
}

/** A router finishes the answers it has begun; an LLM call is one token, or one prefill. */
const gracePeriodSeconds = { slm: 600, llm: 90 } as const;

/**
 * Renders the pods of the deployment's present spec, overlays merged. Pure: equal spec and options give equal templates. The operator
 * keeps the first result for a spec (ADR 1), so a change in here reaches running pods only with their next spec change.
 * Throws `OverlayError` when an overlay cannot be merged or removes what the operator needs.
 */
export function podTemplates(deployment: R2RDeployment, options: RenderOptions): PodTemplates {
  const { metadata } = deployment;
  const revision = revisionOf(deployment.spec);
  const spec = withLocalModels(deployment);
  const { offer } = spec.router;
  const colocated = spec.placement === 'Colocated';
  const nodeClaim = offer?.onOneNode ? offer.claim : undefined;
  const cacheNode = cacheNodes(deployment);
  const slmNode = [...(nodeClaim === undefined ? [] : [nodeLabels(nodeClaim)]), ...cacheNode.slm];
  const slm: JsonObject = {
    serviceAccountName: revisionNames(metadata.name, revision).router,
    ...podDefaults('slm'),
    ...priority(spec.slm),
    ...spreadOverNodes(metadata.name, revision, 'slm'),
    initContainers: [
      { ...(colocated ? colocatedContainer(spec, options) : engineContainer(spec.slm, 'slm', options)), restartPolicy: 'Always' },
    ],
    containers: [routerContainer(metadata.name, revision, spec, options)],
    volumes: [
      ...modelVolumes([modelSource(spec.slm.model), modelSource(spec.llm.model), ...networkSources(spec.router)]),
      ...engineVolumes(spec.slm),
      ...routerVolumes(spec),
    ],
    ...(slmNode.length > 0 && { affinity: togetherWith(slmNode) }),
    ...gpuTolerations((colocated ? colocatedGpus(spec) : gpuCount(spec.slm, 'slm')) + routerGpuCount(spec.router)),
  };
  return {
    slm: template(
      { ...labels(metadata.name, revision, 'slm'), ...nodeLabels(nodeClaim), ...cacheNode.slm[0] },
      'slm',
      slm,
      spec.slm.podTemplate,
    ),
    ...(!colocated && llmTemplates({ metadata, spec }, revision, cacheNode.llm, options)),
  };
}

function llmTemplates(
  { metadata, spec }: Pick<R2RDeployment, 'metadata' | 'spec'>,
  revision: string,
  cacheNode: ReturnType<typeof cacheNodes>['llm'],
  options: RenderOptions,
): Pick<PodTemplates, 'llm' | 'group'> {
  const { llm } = spec;
  const pod = (ours: Readonly<Record<string, string>>, container: JsonObject): JsonObject => {
    const rendered = {
      ...podDefaults('llm'),
      ...priority(llm),
      ...spreadOverNodes(metadata.name, revision, 'llm'),
      containers: [container],
      volumes: [...modelVolumes([modelSource(llm.model)]), ...engineVolumes(llm)],
      ...(cacheNode.length > 0 && { affinity: togetherWith(cacheNode) }),
      ...gpuTolerations(gpuCount(llm, 'llm')),
    };
    return template({ ...ours, ...cacheNode[0] }, 'llm', rendered, llm.podTemplate);
  };
  const ours = labels(metadata.name, revision, 'llm');
  if (llm.nodes === 1) return { llm: pod(ours, engineContainer(llm, 'llm', options)) };
  return {
    llm: pod(ours, leaderContainer(llm, options)),
    group: { size: llm.nodes, worker: pod(workerLabels(metadata.name, revision), workerContainer(llm, options)) },
  };
}

function podDefaults(role: Component): JsonObject {
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: podSecurityContext,
    terminationGracePeriodSeconds: gracePeriodSeconds[role],
  };
}

function priority({ priorityClassName }: ModelServer): JsonObject {
  return priorityClassName === undefined ? {} : { priorityClassName };
}

function template(
  ours: Readonly<Record<string, string>>,
  role: Component,
  rendered: JsonObject,
  overlay: PodTemplateOverlay = {},
): JsonObject {
  const path = `spec.${role}.podTemplate`;
  const patch: unknown = overlay.spec ?? {};
  if (!isObject(patch)) throw new OverlayError(`${path}.spec`, 'must be a partial PodSpec');
  const spec = mergePodSpec(rendered, patch, `${path}.spec`);
  assertComplete(spec, role, `${path}.spec`);
  const { labels: userLabels, annotations: userAnnotations } = overlay.metadata ?? {};
  const main = role === 'slm' ? containers.router : containers.engine;
  return {
    metadata: {
      labels: { ...userLabels, ...ours },
      annotations: { 'kubectl.kubernetes.io/default-container': main, ...userAnnotations },
    },
    spec,
  };
}

/** An overlay may change much, but without these containers, or with the engine as an ordinary init container, the pod can never start. */
function assertComplete(spec: JsonObject, role: Component, path: string): void {
  const named = (list: string, name: string) => {
    const elements: unknown = spec[list];
    return Array.isArray(elements) ? elements.filter(isObject).find((each) => each.name === name) : undefined;
  };
  const main = role === 'slm' ? containers.router : containers.engine;
  if (!named('containers', main)) throw new OverlayError(`${path}.containers`, `must not remove the container "${main}"`);
  if (role === 'slm' && named('initContainers', containers.engine)?.restartPolicy !== 'Always') {
    throw new OverlayError(
      `${path}.initContainers`,
      `must leave the container "${containers.engine}" and its restartPolicy: Always, which makes it a sidecar`,
    );
  }
}
