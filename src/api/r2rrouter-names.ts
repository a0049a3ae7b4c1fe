import { createHash } from 'node:crypto';
import { labelKeys, managedBy } from './names.ts';
import { group } from './r2rdeployment.ts';
import type { JobName } from './r2rrouter-jobs.ts';

/** Labels of a router's Jobs, pods and what they need, beside those every child has. */
export const routerLabelKeys = {
  step: `${group}/step`,
  /** The whole hash; a Job's name has room for its beginning only. */
  hash: `${group}/step-hash`,
  /** Pods that use one workspace; with a volume for one node they attract each other by it. */
  workspace: `${group}/workspace`,
  /** Kueue's, by which a Job joins a queue. */
  queue: 'kueue.x-k8s.io/queue-name',
} as const;

/** Annotations of a router's Jobs. */
export const routerAnnotationKeys = {
  /** metadata.generation of the R2RRouter that a Job was made for. */
  generation: `${group}/generation`,
} as const;

/** Container names, by which a pod overlay addresses them. `engine` is a native sidecar. */
export const jobContainers = { step: 'step', engine: 'engine' } as const;

/** Ports of a Job's pod: progress and metrics of the step, and its model server. */
export const jobPorts = { status: 9090, engine: 30_000 } as const;

/** Where a step leaves its last words for the kubelet. */
export const terminationLog = '/dev/termination-log';

/** Folders in the container of a step. */
export const jobFolders = {
  workspace: '/workspace',
  /** Files of the Job's ConfigMap. */
  files: '/etc/r2r/job',
  hubToken: '/etc/r2r/hub-token',
  s3Credentials: '/etc/r2r/s3',
  s3Authorities: '/etc/r2r/s3-ca',
  bundles: '/bundles',
} as const;

/**
 * Name of a step's Job and of its ConfigMap. With the longest name of a router and two digits of a shard it stays below the 63 characters
 * that a pod's host name may have.
 */
export function jobName(router: string, step: JobName, hash: string): string {
  return `${router}-${step}-${hash.slice(0, 8)}`;
}

/** Claim of the workspace where none is given. */
export function workspaceClaimName(router: string): string {
  return `${router}-workspace`;
}

/** NetworkPolicy of the pods of a router's Jobs. */
export function jobsPolicyName(router: string): string {
  return `${router}-jobs`;
}

/** Value of `app.kubernetes.io/component` on the Jobs and pods of a router: it may have a deployment's name. */
export const routerJobComponent = 'router-job';

/** Labels that select the Jobs and pods of a router. */
export function routerSelectorLabels(router: string): Record<string, string> {
  return { [labelKeys.name]: 'r2r', [labelKeys.instance]: router, [labelKeys.component]: routerJobComponent };
}

/** Labels of all that belongs to one step. */
export function stepLabels(router: string, step: JobName, hash: string): Record<string, string> {
  return {
    ...routerSelectorLabels(router),
    [labelKeys.managedBy]: managedBy,
    [routerLabelKeys.step]: step,
    [routerLabelKeys.hash]: hash,
  };
}

/** Value of the label by which pods of one workspace find each other: a claim's name may be longer than a label. */
export function workspaceLabel(claim: string): string {
  return claim.length <= 63 ? claim : createHash('sha256').update(claim).digest('hex').slice(0, 32);
}
