import { createHash } from 'node:crypto';
import { cacheIsOnOneNode, modelCacheClaim, modelCacheOf } from '../api/cached-models.ts';
import type { CachedModel } from '../api/cached-models.ts';
import { canonicalJson } from '../api/canonical-json.ts';
import { claimFolder } from '../api/claim.ts';
import {
  modelAnnotationKeys,
  modelJobContainer,
  modelJobLabels,
  modelJobName,
  modelJobSelector,
  modelJobsPolicyName,
  modelTokenFolder,
} from '../api/model-job-names.ts';
import { labels } from '../api/names.ts';
import { ownerReference } from '../api/r2rdeployment.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { jobPorts, terminationLog } from '../api/r2rrouter-names.ts';
import { containerDefaults, env, podSecurityContext } from './container.ts';
import { isObject } from './json.ts';
import type { JsonObject, KubeObject } from './json.ts';
import { modelSource } from './model-source.ts';
import { operatorLabels } from './options.ts';
import type { RenderOptions } from './options.ts';
import { OverlayError, mergePodSpec } from './overlay.ts';
import { cacheNodeLabels, togetherWith } from './shared-node.ts';
import { stepEnv } from './router-job-pod.ts';

/** Tries of one Job; the operator makes another one later. */
const backoffLimit = 4;

/** So long a finished Job stays to be looked at; the status remembers what it brought. */
const ttlSecondsAfterFinished = 3600;

/** The claim that models are downloaded to, unless one is given. Never changed once it is there, but it may grow. */
export function modelCacheObject(deployment: R2RDeployment): KubeObject | undefined {
  const { metadata, spec } = deployment;
  const { claim, size, storageClassName, accessMode, onDelete } = modelCacheOf(spec);
  if (claim !== undefined) return undefined;
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: modelCacheClaim(deployment),
      namespace: metadata.namespace ?? 'default',
      labels: labels(metadata.name),
      ...(onDelete === 'Delete' && { ownerReferences: [{ ...ownerReference(deployment) }] }),
    },
    spec: {
      accessModes: [accessMode],
      resources: { requests: { storage: size } },
      ...(storageClassName !== undefined && { storageClassName }),
    },
  };
}

/**
 * Who may connect to the pods of downloads: the operator, for their progress. They may connect to anyone, also where another policy of the
 * namespace closes it: nobody knows the addresses of a hub's storage.
 */
export function modelJobsPolicy(deployment: R2RDeployment, { operatorNamespace }: RenderOptions): KubeObject {
  const { name, namespace = 'default' } = deployment.metadata;
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: modelJobsPolicyName(name), namespace, labels: labels(name), ownerReferences: [{ ...ownerReference(deployment) }] },
    spec: {
      podSelector: { matchLabels: modelJobSelector(name) },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        {
          from: [
            {
              namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': operatorNamespace } },
              podSelector: { matchLabels: { ...operatorLabels } },
            },
          ],
          ports: [{ protocol: 'TCP', port: jobPorts.status }],
        },
      ],
      egress: [{}],
    },
  };
}

/**
 * Digest of what a download's pods are told, the image left out: a new operator does not begin downloads again.
 *
 * @param claimUID - of the claim that was made; another one of its name is empty. Undefined for one that is given
 */
export function modelJobInputs(deployment: R2RDeployment, claimUID?: string): string {
  const { claim, endpoint, accessMode, tokenSecretRef, podTemplate } = modelCacheOf(deployment.spec);
  const told = canonicalJson({ claim, claimUID, endpoint, accessMode, tokenSecretRef, podTemplate });
  return createHash('sha256').update(told).digest('hex').slice(0, 16);
}

/** The Job that brings one model into the cache. Made once and never changed. Pure. Throws `OverlayError`. @param claimUID - as for {@link modelJobInputs} */
export function modelJob(deployment: R2RDeployment, model: CachedModel, options: RenderOptions, claimUID?: string): KubeObject {
  const { name, namespace = 'default', generation = 0 } = deployment.metadata;
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: modelJobName(name, model.hash),
      namespace,
      labels: modelJobLabels(name, model.hash),
      annotations: {
        [modelAnnotationKeys.generation]: String(generation),
        [modelAnnotationKeys.inputs]: modelJobInputs(deployment, claimUID),
      },
      ownerReferences: [{ ...ownerReference(deployment) }],
    },
    spec: {
      parallelism: 1,
      completions: 1,
      backoffLimit,
      ttlSecondsAfterFinished,
      // A pod that is going away still writes.
      podReplacementPolicy: 'Failed',
      podFailurePolicy: {
        rules: [
          // A wrong command line, and what a person must mend: see the program's exit codes.
          { action: 'FailJob', onExitCodes: { containerName: modelJobContainer, operator: 'In', values: [2, 3] } },
          { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
        ],
      },
      template: template(deployment, model, options),
    },
  };
}

function template(deployment: R2RDeployment, model: CachedModel, options: RenderOptions): JsonObject {
  const { metadata } = deployment;
  const { endpoint, tokenSecretRef, podTemplate } = modelCacheOf(deployment.spec);
  const claim = modelCacheClaim(deployment);
  const nodeLabels = cacheIsOnOneNode(deployment) ? [cacheNodeLabels(claim)] : [];
  const rendered: JsonObject = {
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    // Files of the cache belong to the group of every pod that reads them.
    securityContext: { ...podSecurityContext, fsGroup: 10_001, fsGroupChangePolicy: 'OnRootMismatch' },
    terminationGracePeriodSeconds: 30,
    containers: [
      {
        name: modelJobContainer,
        image: options.routerImage,
        args: [
          ...['model', 'download', '--model', model.model, '--folder', modelSource(model.address).path],
          ...(endpoint === undefined ? [] : ['--hf-endpoint', endpoint]),
          ...(tokenSecretRef ? ['--hf-token-file', `${modelTokenFolder}/token`] : []),
          ...['--status-port', String(jobPorts.status), '--termination-log', terminationLog],
        ],
        env: env({ HOME: '/tmp', ...stepEnv }),
        ports: [{ name: 'status', containerPort: jobPorts.status }],
        resources: { requests: { cpu: '250m', memory: '256Mi' } },
        volumeMounts: [
          { name: 'models', mountPath: claimFolder(claim) },
          ...(tokenSecretRef ? [{ name: 'hub-token', mountPath: modelTokenFolder, readOnly: true }] : []),
          { name: 'tmp', mountPath: '/tmp' },
        ],
        ...containerDefaults,
      },
    ],
    volumes: [
      { name: 'models', persistentVolumeClaim: { claimName: claim } },
      // Optional for the kubelet: a pod that mounts a missing Secret never starts, and the program can say what it waits for.
      ...(tokenSecretRef
        ? [
            {
              name: 'hub-token',
              secret: { secretName: tokenSecretRef.name, items: [{ key: tokenSecretRef.key, path: 'token' }], optional: true },
            },
          ]
        : []),
      { name: 'tmp', emptyDir: {} },
    ],
    ...(nodeLabels.length > 0 && { affinity: togetherWith(nodeLabels) }),
  };
  return {
    metadata: {
      labels: { ...podTemplate?.metadata?.labels, ...modelJobLabels(metadata.name, model.hash), ...nodeLabels[0] },
      annotations: { 'kubectl.kubernetes.io/default-container': modelJobContainer, ...podTemplate?.metadata?.annotations },
    },
    spec: overlaid(rendered, podTemplate?.spec ?? {}),
  };
}

/** An overlay may change much, but without these the Job can never end, or its failures could not be told apart. */
function overlaid(rendered: JsonObject, patch: unknown): JsonObject {
  const path = 'spec.modelCache.podTemplate.spec';
  if (!isObject(patch)) throw new OverlayError(path, 'must be a partial PodSpec');
  const spec = mergePodSpec(rendered, patch, path);
  const containers: unknown = spec.containers;
  const isThere = Array.isArray(containers) && containers.filter(isObject).some(({ name }) => name === modelJobContainer);
  if (!isThere) throw new OverlayError(`${path}.containers`, `must not remove the container "${modelJobContainer}"`);
  if (spec.restartPolicy !== 'Never') throw new OverlayError(`${path}.restartPolicy`, 'must be Never: the Job decides what is tried again');
  return spec;
}
