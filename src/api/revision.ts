import { createHash } from 'node:crypto';
import { cacheIdentity } from './cached-models.ts';
import { canonicalJson } from './canonical-json.ts';
import { claimOf } from './claim.ts';
import { llmSchema } from './model-server.ts';
import type { ModelServer } from './model-server.ts';
import { defaultPlacement } from './placement-spec.ts';
import type { R2RDeploymentSpec } from './r2rdeployment.ts';
import { defaultPrecision, routerDefaults } from './router-config.ts';
import { networkClaim } from './router-offer.ts';
import type { RouterSpec } from './router-spec.ts';

/**
 * The revision: 8 hexadecimal digits over what makes a set of SLM and LLM pods belong together, as the user wrote it. Replica counts do
 * not count, nor does a field that has its default value: a default that a later version adds must not roll the pods of an upgraded
 * cluster. For the same reason a default, once released, never changes. A checkpoint counts only by a claim that it alone lies on, be it
 * the user's or the store of the R2RRouter that is followed: the routers get at a volume only when their pods are made. So does the cache of
 * models on the hub, by where it is.
 */
export function revisionOf(spec: R2RDeploymentSpec): string {
  return digest(pair(spec));
}

/**
 * Identifies the inputs of the rendered pod templates: those of {@link revisionOf} and those that change the SLM pods of a revision in
 * place, which are the router's image and resources, what its network needs, how bundles are reached, and how the endpoint is secured and traced. The templates
 * rendered first for a key are kept and applied for as long as it stays. A field that is left out leaves the key as it was before the
 * field existed.
 */
export function templateKey(spec: R2RDeploymentSpec): string {
  const { auth, tls, tracing } = spec.api;
  return digest({ ...pair(spec), router: routerInputs(spec.router), ...((auth ?? tls ?? tracing) && { api: { auth, tls, tracing } }) });
}

function pair(spec: R2RDeploymentSpec): Record<string, unknown> {
  const { slm, llm, placement, router } = spec;
  const claim = networkClaim(router);
  const mounted = [claimOf(slm.model), claimOf(llm.model)].includes(claim);
  return {
    slm: significant(slm),
    llm: significant(llm),
    ...(placement !== defaultPlacement && { placement }),
    ...(claim !== undefined && !mounted && { checkpointClaim: claim }),
    ...cacheIdentity(spec),
  };
}

/** The address of a checkpoint is not among them, nor its precision where the user says what the container gets: they change without a restart. */
function routerInputs(router: RouterSpec): Record<string, unknown> {
  const { image, resources, checkpoint, device, precision = defaultPrecision(device), offer } = router;
  return {
    image,
    resources,
    ...(device !== routerDefaults.device && { device }),
    ...(checkpoint && { tokenSecretRef: checkpoint.tokenSecretRef, ...(!resources && { precision }) }),
    ...(offer?.onOneNode && { onNodeOf: offer.claim }),
    ...(offer?.s3 && { s3: offer.s3 }),
  };
}

function digest(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex').slice(0, 8);
}

/** The defaulted fields of a model server; the SLM has no others than the LLM. */
const { model: _, ...defaults } = llmSchema.parse({ model: '/model' });
const defaultValues: ReadonlyMap<string, string> = new Map(Object.entries(defaults).map(([key, value]) => [key, canonicalJson(value)]));

function significant({ replicas: _, autoscaling: __, ...server }: ModelServer): Record<string, unknown> {
  return Object.fromEntries(Object.entries(server).filter(([key, value]) => defaultValues.get(key) !== canonicalJson(value)));
}
