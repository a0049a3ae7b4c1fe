import { z } from 'zod';
import { rules } from './cel.ts';
import { disruptionSchema } from './disruption-spec.ts';
import { endpointSchema } from './endpoint-spec.ts';
import { modelCacheRule, modelCacheSchema } from './model-cache-spec.ts';
import { llmSchema, slmSchema } from './model-server.ts';
import { monitoringNamespace } from './monitoring-namespace.ts';
import type { ObjectMeta, OwnerReference } from './object-meta.ts';
import { placement, placementRules } from './placement-spec.ts';
import type { PoolsInForce } from './pools.ts';
import { maxNameLength, namePattern } from './resource-name.ts';
import { statusSchema } from './r2rdeployment-status.ts';
import type { R2RDeploymentStatus } from './r2rdeployment-status.ts';
import { rolloutSchema, suspend } from './rollout-spec.ts';
import { routerSchema } from './router-spec.ts';
import type { RouterSpec } from './router-spec.ts';

export const group = 'r2r.dev';
export const version = 'v1alpha1';
export const apiVersion = `${group}/${version}`;
export const kind = 'R2RDeployment';
export const plural = 'r2rdeployments';

export { maxNameLength };

const networkPolicy = z.object({
  enabled: z
    .boolean()
    .default(true)
    .describe(
      'Close engine ports to all but the routers, and router metrics to all but the operator. Needs a network plug-in that enforces NetworkPolicy.',
    ),
  monitoringNamespace: monitoringNamespace('Namespace whose pods may scrape router metrics (port 9090). Left out: only the operator may.'),
});

export const specSchema = z
  .object({
    slm: slmSchema.describe('The small model: drafts every token.'),
    llm: llmSchema.describe('The large model: supplies the tokens where the small one would go astray.'),
    placement,
    router: routerSchema.prefault({}).describe('The router beside each SLM: decides token by token.'),
    api: endpointSchema.prefault({}).describe('The endpoint for clients.'),
    networkPolicy: networkPolicy.prefault({}).describe('Who may connect to the pods.'),
    podDisruptionBudget: disruptionSchema.prefault({}).describe('How far the pods may be evicted at once.'),
    rollout: rolloutSchema.prefault({}).describe('How a changed spec reaches the pods.'),
    suspend,
    modelCache: modelCacheSchema.optional().describe('Where hf:// models are downloaded to, once for all pods. They mount it read-only.'),
  })
  .meta(rules(modelCacheRule, ...placementRules));

/** The whole resource, as the CRD describes it; `metadata` is the API server's own. */
export const r2rDeploymentSchema = z
  .object({ spec: specSchema, status: statusSchema.optional() })
  .describe('A small and a large model that answer together, token by token, behind one OpenAI-compatible endpoint.')
  .meta(
    rules(
      {
        rule: `size(self.metadata.name) <= ${maxNameLength}`,
        message: `metadata.name: must have at most ${maxNameLength} characters, because names of pods and Services are built from it; choose a shorter name`,
      },
      {
        rule: `self.metadata.name.matches('${namePattern}')`,
        message:
          'metadata.name: must start with a letter and contain only lower-case letters, digits and -, because a Service bears this name',
      },
    ),
  );

/** As the API server returns it, with what a followed R2RRouter offers, and what is settled about the pools, once that has been looked up. */
export type R2RDeploymentSpec = z.infer<typeof specSchema> & { readonly router: RouterSpec; readonly pools?: PoolsInForce };

/** What a user writes: defaulted fields may be left out. */
export type R2RDeploymentSpecInput = z.input<typeof specSchema>;

/** As the API server returns it: defaults are filled in. */
export interface R2RDeployment {
  readonly apiVersion: typeof apiVersion;
  readonly kind: typeof kind;
  readonly metadata: ObjectMeta;
  readonly spec: R2RDeploymentSpec;
  readonly status?: R2RDeploymentStatus;
}

/** The owner reference every child carries, so that deleting the resource deletes them. Throws when the resource has no UID yet. */
export function ownerReference(deployment: R2RDeployment): OwnerReference {
  const { name, uid } = deployment.metadata;
  if (uid === undefined)
    throw new TypeError(`R2RDeployment ${name} has no metadata.uid; children can be rendered only for a stored resource`);
  return { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true };
}
