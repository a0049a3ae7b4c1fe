import { createHash } from 'node:crypto';
import { hubModelFolder, parseHubModel } from './hub-model.ts';
import type { HubModel } from './hub-model.ts';
import { modelCacheSchema } from './model-cache-spec.ts';
import type { ModelCacheSpec } from './model-cache-spec.ts';
import { modelsClaimName } from './model-job-names.ts';
import type { R2RDeployment, R2RDeploymentSpec } from './r2rdeployment.ts';

/** A model of the spec that is downloaded, and where it lies then. */
export interface CachedModel extends HubModel {
  /** As the user wrote it. */
  readonly model: string;
  /** The same as a folder on a claim: `pvc://<claim>/<path>`. */
  readonly address: string;
  /** 16 hexadecimal digits over the address. */
  readonly hash: string;
  readonly roles: readonly ('slm' | 'llm')[];
}

type Pair = Pick<R2RDeploymentSpec, 'slm' | 'llm' | 'modelCache'>;

const roles = ['slm', 'llm'] as const;

/** The cache's settings; one that is not there, which the API server does not let happen, is as if it were empty. */
export function modelCacheOf({ modelCache }: Pair): ModelCacheSpec {
  return modelCache ?? modelCacheSchema.parse({});
}

/** The claim that models are downloaded to: the one that is given, else the one that is made. */
export function modelCacheClaim({ metadata, spec }: R2RDeployment): string {
  return modelCacheOf(spec).claim ?? modelsClaimName(metadata.name);
}

/** The models of the spec that are downloaded, each once. */
export function cachedModels(deployment: R2RDeployment): readonly CachedModel[] {
  const { spec } = deployment;
  return [...new Set(roles.map((role) => spec[role].model))].flatMap((model) => {
    const onHub = parseHubModel(model);
    if (!onHub) return [];
    const address = `pvc://${modelCacheClaim(deployment)}/${hubModelFolder(onHub, modelCacheOf(spec).endpoint)}`;
    const hash = createHash('sha256').update(address).digest('hex').slice(0, 16);
    return [{ ...onHub, model, address, hash, roles: roles.filter((role) => spec[role].model === model) }];
  });
}

/** The spec with the place of each downloaded model in place of its address on the hub, which is what pods are rendered from. */
export function withLocalModels(deployment: R2RDeployment): R2RDeploymentSpec {
  const addresses = new Map(cachedModels(deployment).map(({ model, address }) => [model, address]));
  const { spec } = deployment;
  const local = (model: string): string => addresses.get(model) ?? model;
  const { slm, llm } = spec;
  return addresses.size === 0 ? spec : { ...spec, slm: { ...slm, model: local(slm.model) }, llm: { ...llm, model: local(llm.model) } };
}

/** Pods that mount the cache, and the Jobs that fill it, must run on one node. */
export function cacheIsOnOneNode(deployment: R2RDeployment): boolean {
  return modelCacheOf(deployment.spec).accessMode === 'ReadWriteOnce' && cachedModels(deployment).length > 0;
}

/** What of the cache makes other pods of them: where they find their models, and on which nodes they may run. Empty without models on the hub. */
export function cacheIdentity(spec: Pair): { readonly modelCache?: object } {
  if (roles.every((role) => !parseHubModel(spec[role].model))) return {};
  const { claim, endpoint, accessMode } = modelCacheOf(spec);
  return { modelCache: { claim, endpoint: endpoint?.replace(/\/+$/, ''), ...(accessMode === 'ReadWriteOnce' && { accessMode }) } };
}
