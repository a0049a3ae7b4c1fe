import { apiVersion, group, version } from '../../src/api/r2rdeployment.ts';
import { routerKind, routerPlural, routerSpecSchema } from '../../src/api/r2rrouter.ts';
import type { R2RRouter, R2RRouterSpecInput } from '../../src/api/r2rrouter.ts';
import type { Manifest } from './deployments.ts';

export function routerPath(namespace: string, name = ''): string {
  return `/apis/${group}/${version}/namespaces/${namespace}/${routerPlural}${name && `/${name}`}`;
}

/** The valid object that every wrong one is a mutation of. */
export function routerManifest(name: string, namespace: string): Manifest {
  return {
    apiVersion,
    kind: routerKind,
    metadata: { name, namespace },
    spec: {
      preset: 'Qwen3-0.6B+Qwen3-8B',
      models: { claim: 'weights' },
      source: {
        pipeline: {
          datasets: [{ preset: 'aime' }, { name: 'own', path: 'pvc://data/questions.jsonl', questionField: 'question' }],
        },
      },
    },
  };
}

/** A stored resource with its defaults filled in, as the operator reads it. */
export function storedRouter(name: string, spec: R2RRouterSpecInput): R2RRouter {
  return {
    apiVersion,
    kind: routerKind,
    metadata: { name, namespace: 'models', uid: '22222222-3333-4444-5555-666666666666', generation: 1 },
    spec: routerSpecSchema.parse(spec),
  };
}
