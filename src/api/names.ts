import { group } from './r2rdeployment.ts';

export type Component = 'slm' | 'llm';

/**
 * Ports of the pods and, behind port 80 of the endpoint Service or 443 with TLS, of the API. In a Colocated pod the LLM's engine and the
 * launcher of both have ports of their own; the nodes of one LLM find each other by `rendezvous`.
 */
export const ports = {
  service: 80,
  serviceTls: 443,
  router: 8000,
  admin: 9090,
  engine: 30_000,
  colocatedLLM: 30_001,
  launcher: 30_002,
  rendezvous: 30_003,
} as const;

/**
 * Name of the routers' API port in pods and Service. A Service finds a pod's port by this name, so while TLS is being switched on or off
 * its port 80 leads to the pods that speak plain HTTP and its port 443 to those that speak HTTPS.
 */
export type Scheme = 'http' | 'https';

/** Folders that hold Secrets in the router's container. */
export const secretFolders = {
  apiKeys: '/etc/r2r/api-keys',
  tls: '/etc/r2r/tls',
  hubToken: '/etc/r2r/hub-token',
  s3Credentials: '/etc/r2r/s3',
  s3Authorities: '/etc/r2r/s3-ca',
} as const;

/** Container names, by which a pod overlay addresses them. In the SLM pod `engine` is a native sidecar, in the LLM pod the main container. */
export const containers = { router: 'router', engine: 'engine' } as const;

export const labelKeys = {
  name: 'app.kubernetes.io/name',
  instance: 'app.kubernetes.io/instance',
  component: 'app.kubernetes.io/component',
  managedBy: 'app.kubernetes.io/managed-by',
  revision: `${group}/revision`,
} as const;

/** Value of `app.kubernetes.io/managed-by` on every child, by which the operator's informers select. */
export const managedBy = 'r2r-operator';

/** Field managers of server-side apply: one for children, one for status. */
export const fieldManagers = { children: 'r2r-operator', status: 'r2r-operator-status' } as const;

/** Labels of every child of a resource; `revision` and `component` where it belongs to one. */
export function labels(instance: string, revision?: string, component?: Component): Record<string, string> {
  return { ...selectorLabels(instance, revision, component), [labelKeys.managedBy]: managedBy };
}

/** The labels by which Services, Deployments and NetworkPolicies select pods: a stable part of {@link labels}. */
export function selectorLabels(instance: string, revision?: string, component?: Component): Record<string, string> {
  return {
    [labelKeys.name]: 'r2r',
    [labelKeys.instance]: instance,
    ...(component && { [labelKeys.component]: component }),
    ...(revision && { [labelKeys.revision]: revision }),
  };
}

/** `key=value,…` form of labels, for list calls and `status.selector`. */
export function toSelector(matchLabels: Readonly<Record<string, string>>): string {
  return Object.entries(matchLabels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

/** Name of the endpoint Service: the resource's own. */
export function endpointServiceName(instance: string): string {
  return instance;
}

/** `http://<name>.<namespace>.svc`, the base URL for clients in the cluster. */
export function endpointURL(instance: string, namespace: string, scheme: Scheme): string {
  return `${scheme}://${endpointServiceName(instance)}.${namespace}.svc`;
}

/** Value of `app.kubernetes.io/component` on the pods that help a leader of component `llm`: they answer no request of their own. */
export const workerComponent = 'llm-worker';

/** Names of the children of one revision. */
export interface RevisionNames {
  /** Deployment and NetworkPolicy of the SLM pods. */
  readonly slm: string;
  /** Deployment, headless Service and NetworkPolicy of the LLM pods. */
  readonly llm: string;
  /** ConfigMap, ServiceAccount, Role and RoleBinding of the routers. */
  readonly router: string;
  /**
   * The LeaderWorkerSet of an LLM that spans nodes. Shorter than the others, because its controller appends to it and StatefulSets end at 52
   * characters; and no name of a Service of ours, because it makes a Service of this name, by which workers find their leader.
   */
  readonly group: string;
  /** NetworkPolicy of its workers. */
  readonly workers: string;
}

export function revisionNames(instance: string, revision: string): RevisionNames {
  const group = `${instance}-${revision}`;
  return { slm: `${group}-slm`, llm: `${group}-llm`, router: `${group}-router`, group, workers: `${group}-workers` };
}

/** Name of the ControllerRevision that pins the rendered pod templates; `key` is `templateKey(spec)` of revision.ts. */
export function templateRecordName(instance: string, key: string): string {
  return `${instance}-${key}-templates`;
}
