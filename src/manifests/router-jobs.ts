import { canonicalJson } from '../api/canonical-json.ts';
import { labels } from '../api/names.ts';
import type { JobName } from '../api/r2rrouter-jobs.ts';
import {
  jobContainers,
  jobName,
  jobPorts,
  jobsPolicyName,
  routerAnnotationKeys,
  routerLabelKeys,
  routerSelectorLabels,
  stepLabels,
  workspaceClaimName,
} from '../api/r2rrouter-names.ts';
import { routerOwnerReference } from '../api/r2rrouter.ts';
import type { R2RRouter } from '../api/r2rrouter.ts';
import { stepHash } from '../api/step-identity.ts';
import type { StepSpec } from '../api/step-identity.ts';
import type { JsonObject, KubeObject } from './json.ts';
import { operatorLabels } from './options.ts';
import { jobFiles, jobPod } from './router-job-pod.ts';
import type { JobPodInput, RouterJobOptions } from './router-job-pod.ts';
import type { TrainerSettings } from './router-trainer-settings.ts';

/**
 * What one step needs, in the order to make it: the ConfigMap with its parameters, and the Job. Both are made once and never changed: another
 * step has another hash and so another name. One that is there already may name other folders of its inputs, with the same data: it will do.
 * Pure and deterministic. Throws `OverlayError`, `RouterSpecError`.
 */
export function stepObjects(input: JobPodInput, options: RouterJobOptions): readonly [configMap: KubeObject, job: KubeObject] {
  return [configMap(input), job(input, options)];
}

/** The workspace's claim, unless one is given. Never changed once it is there. */
export function workspaceObject(router: R2RRouter): KubeObject | undefined {
  const { metadata, spec } = router;
  const { claim, size, storageClassName, accessMode, onDelete } = spec.storage.workspace;
  if (claim !== undefined) return undefined;
  const { namespace = 'default', name } = metadata;
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: workspaceClaimName(name),
      namespace,
      labels: labels(name),
      ...(onDelete === 'Delete' && { ownerReferences: [{ ...routerOwnerReference(router) }] }),
    },
    spec: {
      accessModes: [accessMode],
      resources: { requests: { storage: size } },
      ...(storageClassName !== undefined && { storageClassName }),
    },
  };
}

/**
 * Who may connect to the pods of a router's Jobs: the operator, for their progress, and the monitoring namespace, for their metrics. Their model
 * servers are for the pod itself, which a policy never keeps from itself. Applied before the first Job.
 */
export function jobsNetworkPolicy(router: R2RRouter, { operatorNamespace }: RouterJobOptions): KubeObject {
  const { name, namespace = 'default' } = router.metadata;
  const { monitoringNamespace } = router.spec.jobs.networkPolicy;
  const namespaceCalled = (called: string): JsonObject => ({
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': called } },
  });
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: jobsPolicyName(name), namespace, labels: labels(name), ownerReferences: [{ ...routerOwnerReference(router) }] },
    spec: {
      podSelector: { matchLabels: routerSelectorLabels(name) },
      policyTypes: ['Ingress'],
      ingress: [
        {
          from: [
            { ...namespaceCalled(operatorNamespace), podSelector: { matchLabels: { ...operatorLabels } } },
            ...(monitoringNamespace === undefined ? [] : [namespaceCalled(monitoringNamespace)]),
          ],
          ports: [{ protocol: 'TCP', port: jobPorts.status }],
        },
      ],
    },
  };
}

function metadataOf(router: R2RRouter, identity: StepSpec<JobName>): KubeObject['metadata'] {
  const { name, namespace = 'default' } = router.metadata;
  const hash = stepHash(identity);
  return {
    name: jobName(name, identity.step, hash),
    namespace,
    labels: stepLabels(name, identity.step, hash),
    ownerReferences: [{ ...routerOwnerReference(router) }],
  };
}

function configMap({ router, identity }: JobPodInput): KubeObject {
  const { step } = identity;
  const { config } = step === 'train' ? (identity.params as TrainerSettings) : { config: {} };
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: metadataOf(router, identity),
    immutable: true,
    data: {
      [jobFiles.spec]: canonicalJson(identity),
      ...(Object.keys(config).length > 0 && { [jobFiles.training]: canonicalJson(config) }),
    },
  };
}

function job(input: JobPodInput, options: RouterJobOptions): KubeObject {
  const { router, identity } = input;
  const { step } = identity;
  const { jobs } = router.spec;
  const settings: { readonly shards?: number; readonly deadlineSeconds?: number | undefined } = jobs.steps[step];
  const { shards = 1, deadlineSeconds = jobs.deadlineSeconds } = settings;
  const metadata = metadataOf(router, identity);
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      ...metadata,
      labels: { ...(metadata.labels as JsonObject), ...(jobs.queueName !== undefined && { [routerLabelKeys.queue]: jobs.queueName }) },
      annotations: { [routerAnnotationKeys.generation]: String(router.metadata.generation ?? 0) },
    },
    spec: {
      // Kueue sets it to false once there is room; a Job is never applied again, so nothing takes that back.
      ...(jobs.queueName !== undefined && { suspend: true }),
      ...(shards > 1 && { completionMode: 'Indexed' }),
      parallelism: shards,
      completions: shards,
      backoffLimit: jobs.backoffLimit * shards,
      ...(deadlineSeconds !== undefined && { activeDeadlineSeconds: deadlineSeconds }),
      ttlSecondsAfterFinished: jobs.ttlSecondsAfterFinished,
      // A pod that is going away still writes.
      podReplacementPolicy: 'Failed',
      podFailurePolicy: {
        rules: [
          // A wrong command line, and what a person must mend: see the programs' exit codes.
          { action: 'FailJob', onExitCodes: { containerName: jobContainers.step, operator: 'In', values: [2, 3] } },
          { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
        ],
      },
      template: jobPod(input, options),
    },
  };
}
