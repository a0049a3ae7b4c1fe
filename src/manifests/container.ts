import type { ModelServer } from '../api/model-server.ts';
import type { JsonObject } from './json.ts';

/** User and group of every container: no one in particular, and not root. */
const userID = 10_001;

/** The device plugin's name for a whole GPU. */
export const gpuResource = 'nvidia.com/gpu';

/** Security settings that satisfy the Pod Security Standard `restricted`. */
export const podSecurityContext: JsonObject = {
  runAsNonRoot: true,
  runAsUser: userID,
  runAsGroup: userID,
  seccompProfile: { type: 'RuntimeDefault' },
};

export const containerSecurityContext: JsonObject = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
};

/** What every container has: the last log lines become the termination message, which status shows when a container dies. */
export const containerDefaults: JsonObject = {
  securityContext: containerSecurityContext,
  terminationMessagePolicy: 'FallbackToLogsOnError',
};

export function env(variables: Readonly<Record<string, string>>): readonly JsonObject[] {
  return Object.entries(variables).map(([name, value]) => ({ name, value }));
}

/** A variable with a field of the pod; usable as `$(NAME)` in arguments. */
export function fieldEnv(name: string, fieldPath: string): JsonObject {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

/** @param port - by name; one named `https` is asked over TLS, where the kubelet takes any certificate */
export function httpProbe(path: string, port: string, timing: JsonObject): JsonObject {
  return { httpGet: { path, port, ...(port === 'https' && { scheme: 'HTTPS' }) }, ...timing };
}

/** Resources with every quantity as a string, the form in which the API server returns them. */
export function quantities(resources: ModelServer['resources']): { readonly requests?: JsonObject; readonly limits?: JsonObject } {
  const strings = (values: Readonly<Record<string, number | string>>) =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]));
  return {
    ...(resources?.requests && { requests: strings(resources.requests) }),
    ...(resources?.limits && { limits: strings(resources.limits) }),
  };
}

/** GPU nodes are commonly tainted with the resource's name. */
export function gpuTolerations(gpus: number): JsonObject {
  return gpus > 0 ? { tolerations: [{ key: gpuResource, operator: 'Exists', effect: 'NoSchedule' }] } : {};
}
