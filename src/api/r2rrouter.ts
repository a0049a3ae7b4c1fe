import { z } from 'zod';
import { rules } from './cel.ts';
import type { ObjectMeta, OwnerReference } from './object-meta.ts';
import { apiVersion } from './r2rdeployment.ts';
import { jobsSchema } from './r2rrouter-jobs.ts';
import { modelsSchema } from './r2rrouter-models.ts';
import { routerPresets } from './r2rrouter-presets.ts';
import type { ModelRole } from './r2rrouter-presets.ts';
import { gateSchema, rolloutSchema, scheduleSchema } from './r2rrouter-release.ts';
import { sourceSchema } from './r2rrouter-source.ts';
import { maxNameLength, namePattern } from './resource-name.ts';
import { routerStatusSchema } from './r2rrouter-status.ts';
import type { R2RRouterStatus } from './r2rrouter-status.ts';
import { storageSchema } from './r2rrouter-storage.ts';
import { trainingSchema } from './r2rrouter-training.ts';

export const routerKind = 'R2RRouter';
export const routerPlural = 'r2rrouters';

/** Tags that R1 and Qwen3 write. */
export const defaultSpecialTokens = { thinkStart: '<think>', thinkEnd: '</think>' } as const;

const tag = z.string().min(1).max(64);
const specialTokens = z.object({
  thinkStart: tag.default(defaultSpecialTokens.thinkStart).describe('Begins the reasoning.'),
  thinkEnd: tag.default(defaultSpecialTokens.thinkEnd).describe('Ends the reasoning.'),
});

/** Where a model's folder must come from. */
function folderRule(role: Exclude<ModelRole, 'continuation'>, needed: string) {
  const named = role === 'verifier' ? 'has(self.models.claim)' : 'has(self.preset) && has(self.models.claim)';
  return {
    rule: `!(${needed}) || (has(self.preset) && self.preset == 'tiny') || (has(self.models) && ((has(self.models.${role}) && has(self.models.${role}.model)) || (${named})))`,
    message: `models.${role}.model: nothing says where this model is; set it, or set ${role === 'verifier' ? '' : 'preset and '}models.claim to the claim that holds it`,
  };
}

export const routerSpecSchema = z
  .object({
    preset: z
      .enum(routerPresets)
      .optional()
      .describe(
        'A pair whose models and settings are known; fields given here win over it. `tiny` is the pair that comes in the image. Left out: every model is given.',
      ),
    models: modelsSchema.prefault({}).describe('The models.'),
    specialTokens: specialTokens.prefault({}).describe('Tags around the reasoning (upstream: special_tokens).'),
    source: sourceSchema.describe('Where the router comes from.'),
    training: trainingSchema.prefault({}).describe('How the router is trained.'),
    gate: gateSchema.prefault({}).describe('What a new router must reach.'),
    rollout: rolloutSchema.prefault({}).describe('How deployments get it.'),
    jobs: jobsSchema.prefault({}).describe('How the Jobs run.'),
    schedule: scheduleSchema.optional().describe('Repeat it. Left out: only when the spec changes.'),
    storage: storageSchema.prefault({}).describe('Where results and bundles are kept.'),
  })
  .meta(
    rules(
      folderRule('slm', 'true'),
      folderRule('llm', 'has(self.source.pipeline)'),
      folderRule('verifier', 'has(self.source.pipeline)'),
      {
        rule: '!has(self.models) || !has(self.models.continuation) || has(self.models.continuation.model)',
        message: 'models.continuation.model: no preset names this model; set it, or remove continuation to let the large model do it',
      },
      {
        rule: '!has(self.schedule) || has(self.source.pipeline)',
        message: 'schedule: only data sets of source.pipeline can be read again; remove schedule',
      },
    ),
  );

/** The whole resource, as the CRD describes it; `metadata` is the API server's own. */
export const r2rRouterSchema = z
  .object({ spec: routerSpecSchema, status: routerStatusSchema.optional() })
  .describe('A router for a pair of models: labelled, trained, checked, and rolled out to the deployments that follow it.')
  .meta(
    rules(
      {
        rule: `size(self.metadata.name) <= ${maxNameLength}`,
        message: `metadata.name: must have at most ${maxNameLength} characters, because names of Jobs are built from it; choose a shorter name`,
      },
      {
        rule: `self.metadata.name.matches('${namePattern}')`,
        message: 'metadata.name: must start with a letter and contain only lower-case letters, digits and -, because pods bear this name',
      },
    ),
  );

export type R2RRouterSpec = z.infer<typeof routerSpecSchema>;

/** What a user writes: defaulted fields may be left out. */
export type R2RRouterSpecInput = z.input<typeof routerSpecSchema>;

/** As the API server returns it: defaults are filled in. */
export interface R2RRouter {
  readonly apiVersion: typeof apiVersion;
  readonly kind: typeof routerKind;
  readonly metadata: ObjectMeta;
  readonly spec: R2RRouterSpec;
  readonly status?: R2RRouterStatus;
}

/** The owner reference of Jobs and of what they need, so that deleting the resource deletes them. Throws when the resource has no UID yet. */
export function routerOwnerReference({ metadata: { name, uid } }: R2RRouter): OwnerReference {
  if (uid === undefined) throw new TypeError(`R2RRouter ${name} has no metadata.uid; Jobs can be rendered only for a stored resource`);
  return { apiVersion, kind: routerKind, name, uid, controller: true, blockOwnerDeletion: true };
}
