import { schemeOf } from '../../src/api/endpoint-spec.ts';
import { specSchema } from '../../src/api/r2rdeployment.ts';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import { revisionOf } from '../../src/api/revision.ts';
import { routerConfigDigest } from '../../src/api/router-config.ts';
import type { Live, Manifest } from '../../src/kube/index.ts';
import { endpointService, podTemplates, revisionChildren, routerConfig, templateRecord } from '../../src/manifests/index.ts';
import type { KubeObject, RenderOptions } from '../../src/manifests/index.ts';

/** As in the pair of examples/r1-1.5b-32b.yaml, with the models in the image, so that no claim is needed. */
const spec = {
  slm: {
    model: '/models/DeepSeek-R1-Distill-Qwen-1.5B',
    contextLength: 32_768,
    resources: { requests: { cpu: '4', memory: '16Gi' } },
  },
  llm: {
    model: '/models/DeepSeek-R1-Distill-Qwen-32B',
    contextLength: 32_768,
    tensorParallelSize: 2,
    resources: { requests: { cpu: '8', memory: '64Gi' } },
  },
  // one name for all, so that all routers have the same configuration: one process plays them all
  router: { checkpoint: { uri: 'hf://nics-efc/R2R_router/default_router.pt@main' }, modelName: 'r1-32b' },
};

export const render: RenderOptions = { routerImage: 'registry.example/router:1', operatorNamespace: 'r2r-system' };

/** So many resources share a namespace: controllers that look at all pods of a namespace must not be what is measured. */
const perNamespace = 25;

export const namespaceNames = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: Math.ceil(count / perNamespace) }, (_, index) => `${prefix}-${index}`);

export const placeOf = (prefix: string, index: number): { readonly namespace: string; readonly name: string } => ({
  namespace: `${prefix}-${Math.floor(index / perNamespace)}`,
  name: `pair-${index}`,
});

export function r2rDeployment(prefix: string, index: number): Manifest {
  return { apiVersion: 'r2r.dev/v1alpha1', kind: 'R2RDeployment', metadata: placeOf(prefix, index), spec };
}

/** What every router of the benchmark runs by. */
export const configDigest = (): string =>
  routerConfigDigest(routerConfig({ metadata: { name: 'any', namespace: 'any' }, spec: specSchema.parse(spec) } as R2RDeployment));

/** All children of a deployment in the order to apply them, from the functions that the operator renders them with. */
export function childrenOf(live: Live<R2RDeployment>): readonly KubeObject[] {
  const deployment = { ...live, spec: specSchema.parse(live.spec) };
  const revision = revisionOf(deployment.spec);
  const templates = podTemplates(deployment, render);
  const replicas = { slm: deployment.spec.slm.replicas, llm: deployment.spec.llm.replicas };
  return [
    templateRecord(deployment, revision, templates),
    ...revisionChildren({ deployment, revision, templates, config: routerConfig(deployment), replicas }, render),
    endpointService(deployment, revision, new Set([schemeOf(deployment.spec.api)])),
  ];
}
