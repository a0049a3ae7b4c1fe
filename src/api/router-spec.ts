import { z } from 'zod';
import { rules } from './cel.ts';
import { image, resources } from './model-server.ts';
import { llmUnavailablePolicies, strategies } from './router-config.ts';

/** `spec.router.threshold` when it is left out, in nats: upstream's `entropy_threshold` for R1-1.5B with R1-32B. */
export const defaultEntropyThreshold = 0.45;

export const routerSchema = z
  .object({
    strategy: z
      .enum(strategies)
      .default('entropy')
      .describe(
        'Which tokens the LLM supplies. `entropy`: those where the SLM is uncertain. `slm`, `llm`: none, all (baselines). Changes without a restart.',
      ),
    threshold: z
      .number()
      .min(0)
      .max(5)
      .optional()
      .describe(
        `Only with strategy entropy, in nats: a drafted token whose distribution (top 100 and the rest) has at least this entropy goes to the LLM. ` +
          `0 sends every token there, above ln 101 = 4.62 none. Left out: ${defaultEntropyThreshold}. Changes without a restart.`,
      ),
    maxDraftTokens: z
      .int32()
      .min(1)
      .max(64)
      .default(8)
      .describe('Longest block the SLM drafts in one call. Never changes the answer, only the speed.'),
    onLLMUnavailable: z
      .enum(llmUnavailablePolicies)
      .default('UseSLM')
      .describe(
        "When no LLM replica answers within llmTimeoutSeconds: `UseSLM` takes the SLM's token and marks the response as degraded, `Wait` goes on waiting, `Fail` ends the request with an error.",
      ),
    llmTimeoutSeconds: z
      .int32()
      .min(1)
      .max(600)
      .default(30)
      .describe('How long to try the LLM for one token before onLLMUnavailable applies.'),
    modelName: z
      .string()
      .min(1)
      .max(128)
      .meta(
        rules({
          rule: "self.matches('^[A-Za-z0-9][A-Za-z0-9._:/+-]*$')",
          message: 'modelName: must start with a letter or digit and contain only letters, digits and . _ : / + -',
        }),
      )
      .optional()
      .describe("The model clients name in a request and see in /v1/models. Left out: the resource's name."),
    image: image
      .optional()
      .describe("The router's image. Left out: the image of the operator's version. Changing it rolls the SLM pods in place."),
    resources: resources.describe('CPU and memory of the router container. Left out: requests of 500m and 512Mi, no limits.'),
  })
  .meta(
    rules({
      rule: "self.strategy == 'entropy' || !has(self.threshold)",
      message: 'threshold: applies only to strategy entropy; remove threshold, or set strategy: entropy',
    }),
  );

export type RouterSpec = z.infer<typeof routerSchema>;
