import { z } from 'zod';
import { rules } from './cel.ts';

const share = z.number().min(0).max(1);

/** What a new router must reach, on the rows of the test split, before deployments get it. */
export const gateSchema = z.object({
  minRecall: share
    .default(0.95)
    .describe('Share of the divergent tokens that are sent to the LLM. A label set too poor to reach it is refused.'),
  maxPositiveRate: share.optional().describe('Share of all tokens that are sent to the LLM. Left out: any.'),
  betterThanCurrent: z
    .boolean()
    .default(false)
    .describe('It must also send fewer tokens to the LLM than the bundle in use, at minRecall on the same rows; the first one passes.'),
});

/** How deployments that follow the router get a new bundle. */
export const rolloutSchema = z.object({
  policy: z
    .enum(['Automatic', 'Manual'])
    .default('Automatic')
    .describe(
      '`Automatic`: a bundle that passes the gate is rolled out. `Manual`: only the one that bundle names; without one, deployments keep what they have.',
    ),
  bundle: z
    .string()
    .min(64)
    .max(64)
    .meta(
      rules({
        rule: "self.matches('^[0-9a-f]{64}$')",
        message: 'bundle: must be the sha256 of a bundle in status.history, 64 hexadecimal digits',
      }),
    )
    .optional()
    .describe(
      'Digest of a bundle of status.history that is rolled out in place of the newest one; `kubectl r2r router rollback` sets it. Left out: the newest that passed.',
    ),
  observeSeconds: z
    .int32()
    .min(0)
    .max(86_400)
    .default(120)
    .describe(
      'How long a deployment must run with the new bundle without errors or alarms of its routers until the next one gets it; else it goes back.',
    ),
});

export const scheduleSchema = z.object({
  everyHours: z
    .int32()
    .min(1)
    .max(87_600)
    .describe('How often the data sets are read again. Whatever has changed is labelled anew; if nothing has, nothing runs.'),
  suspend: z.boolean().default(false).describe('Start no further run.'),
});

export type GateSpec = z.infer<typeof gateSchema>;
export type RolloutSpec = z.infer<typeof rolloutSchema>;
