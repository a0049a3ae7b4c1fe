import type { R2RDeployment, R2RDeploymentSpecInput } from '../../src/api/r2rdeployment.ts';
import { apiVersion, kind, specSchema } from '../../src/api/r2rdeployment.ts';

/** A resource as a user writes it. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: Record<string, unknown>;
  spec: Record<string, unknown>;
}

/** The valid object that every wrong one is a mutation of. */
export function manifest(name: string, namespace: string): Manifest {
  return {
    apiVersion,
    kind,
    metadata: { name, namespace },
    spec: {
      slm: { model: '/models/slm', engine: 'CPU' },
      llm: { model: 'pvc://weights/llm', replicas: 2 },
      router: { strategy: 'entropy', threshold: 0.45 },
    },
  };
}

/** Sets (or with undefined removes) the field at a dotted path. */
export function set(object: object, path: string, value: unknown): void {
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const parent = keys.reduce<Record<string, unknown>>(
    (at, key) => (at[key] ??= {}) as Record<string, unknown>,
    object as Record<string, unknown>,
  );
  parent[last] = value;
}

/** A stored resource with its defaults filled in, as the operator reads it. */
export function stored(name: string, spec: R2RDeploymentSpecInput): R2RDeployment {
  return {
    apiVersion,
    kind,
    metadata: { name, namespace: 'models', uid: '11111111-2222-3333-4444-555555555555', generation: 1 },
    spec: specSchema.parse(spec),
  };
}
