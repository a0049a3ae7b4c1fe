import { z } from 'zod';
import { rules } from './cel.ts';
import { checkpointUri } from './checkpoint-uri.ts';
import { secretName } from './endpoint-spec.ts';
import { image, resources } from './model-server.ts';
import { maxNameLength, namePattern } from './resource-name.ts';
import { devices, llmUnavailablePolicies, lookaheads, precisions, routerDefaults } from './router-config.ts';
import type { RouterOffer } from './router-offer.ts';
import { overrides, strategyOptions, strategyRules } from './routing-spec.ts';
import { defaultEntropyThreshold, strategies } from './strategies.ts';

const limits = z.object({
  maxBodyBytes: z
    .int32()
    .min(1024)
    .max(2 ** 30)
    .default(routerDefaults.limits.maxBodyBytes)
    .describe('Longest body of a request; a longer one is answered with 413. Left out: 8 MiB.'),
  requestTimeoutSeconds: z
    .int32()
    .min(1)
    .max(86_400)
    .default(routerDefaults.limits.requestTimeoutSeconds)
    .describe('How long a request may take in all; then it ends with 408, or its stream with an error. Left out: one hour.'),
  maxConcurrentRequests: z
    .int32()
    .min(1)
    .max(10_000)
    .default(routerDefaults.limits.maxConcurrentRequests)
    .describe('Requests one router works on at once. Left out: 256.'),
  maxQueuedRequests: z
    .int32()
    .min(0)
    .max(100_000)
    .default(routerDefaults.limits.maxQueuedRequests)
    .describe('Requests that wait until one of those is done; further ones are answered with 429. Left out: 1024.'),
  maxChoices: z
    .int32()
    .min(1)
    .max(128)
    .default(routerDefaults.limits.maxChoices)
    .describe('Largest `n` of a request; each choice is routed on its own. Left out: 8.'),
});

export const routerSchema = z
  .object({
    strategy: z
      .enum(strategies)
      .optional()
      .describe(
        'Which tokens the LLM supplies, by the names upstream gives. `neural`: those the router network calls divergent; `neural_rolling`: the same, and back to the SLM once their average over a window is low. ' +
          '`entropy`: those where the SLM is uncertain. `immediate`, `momentum`, `rolling`, `duo_rolling`: by aleatoric uncertainty of the ten best logits, and its history. ' +
          '`random`: a share by chance. `slm`, `llm`: none, all (baselines). Left out: `neural` with a checkpoint, else `entropy`. Changes without a restart.',
      ),
    threshold: z
      .number()
      .min(0)
      .max(5)
      .optional()
      .describe(
        'A drafted token goes to the LLM from this value on. Strategies neural and neural_rolling: the probability, from 0 to 1, that the token is divergent; left out: the threshold of the checkpoint. ' +
          `Strategy entropy: nats of the token's distribution (top 100 and the rest), where above ln 101 = 4.62 none goes; left out: ${defaultEntropyThreshold}. 0 sends every token. Changes without a restart.`,
      ),
    strategyOptions,
    checkpoint: z
      .object({
        uri: checkpointUri
          .optional()
          .describe(
            "The checkpoint's address: an absolute path, which the router's image must have; `pvc://<claim>/<path>`, on a PersistentVolumeClaim of the same namespace; " +
              '`https://<host>/<path>`; or `hf://<org>/<repo>/<file>@<revision>`, a file of a Hugging Face repository at a branch, tag or commit. Left out: routerRef is given.',
          ),
        routerRef: z
          .object({
            name: z
              .string()
              .min(1)
              .max(maxNameLength)
              .meta(
                rules({
                  rule: `self.matches('${namePattern}')`,
                  message: 'name: must be the name of an R2RRouter: a letter, then lower-case letters, digits and -',
                }),
              )
              .describe('The R2RRouter, in the same namespace.'),
          })
          .optional()
          .describe(
            'Follow an R2RRouter: its bundles are taken over, when its roll-out comes to this deployment, without a restart. The routers mount the place where it stores bundles, read-only; ' +
              'another place brings up new pods, or rolls the SLM pods in place where it is an object store. While it offers no bundle yet, tokens are routed by entropy, and what is set for a network waits. ' +
              'While there is no such R2RRouter, the pods stay as they are. Left out: uri is given.',
          ),
        tokenSecretRef: z
          .object({
            name: secretName('name', 'The Secret, in the same namespace.'),
            key: z
              .string()
              .min(1)
              .max(253)
              .meta(
                rules({
                  rule: "self.matches('^[-._a-zA-Z0-9]+$')",
                  message: 'key: must be a key of the Secret: letters, digits and - _ .',
                }),
              )
              .describe('The key in the Secret whose value is the token.'),
          })
          .optional()
          .describe(
            'Access token for an hf:// address that is private or gated. It is mounted in the router alone. Changing this rolls the SLM pods in place.',
          ),
      })
      .meta(
        rules(
          {
            rule: 'has(self.uri) != has(self.routerRef)',
            message: 'checkpoint: needs exactly one of uri and routerRef; set one of them, or remove the other',
          },
          {
            rule: "!has(self.tokenSecretRef) || (has(self.uri) && self.uri.startsWith('hf://'))",
            message: 'tokenSecretRef: applies only to an hf:// address; remove it, or load the checkpoint from there',
          },
        ),
      )
      .optional()
      .describe(
        "The router network: upstream's checkpoint file (`.pt`), which is read without executing anything, or a router bundle. It must have been trained for this SLM. " +
          'Left out: no network; strategies that need none still work. A changed address is loaded beside the old network, which serves until then; only one on another claim than before brings up new pods. The first checkpoint rolls the SLM pods in place, unless resources are given.',
      ),
    precision: z
      .enum(precisions)
      .optional()
      .describe(
        'Arithmetic of the router network. `int8` is two to three times as fast on a CPU; `kubectl r2r router import` tells how many decisions it changes. Left out: `int8` on device cpu, `fp32` on cuda. Changing it rolls the SLM pods in place, unless resources are given.',
      ),
    device: z
      .enum(devices)
      .default(routerDefaults.device)
      .describe(
        "What the router network runs on. `cuda` gives the router's container a GPU of its own, which it cannot share with the SLM's, and needs an image built for it. Changing it rolls the SLM pods in place.",
      ),
    maxDraftTokens: z
      .int32()
      .min(1)
      .max(64)
      .default(8)
      .describe('Longest block the SLM drafts in one call. Never changes the answer, only the speed.'),
    lookahead: z
      .enum(lookaheads)
      .default(routerDefaults.lookahead)
      .describe(
        'What the router does while the LLM is asked for a token. `Single`: drafts on behind it, which counts when the LLM agrees with the SLM. `Nested`: also asks for divergent tokens behind it. ' +
          '`Off`: waits. Never changes the answer, only speed and wasted work.',
      ),
    maxLookaheadCalls: z
      .int32()
      .min(1)
      .max(16)
      .default(routerDefaults.maxLookaheadCalls)
      .describe(
        'Only with lookahead Nested: how many LLM calls of one answer may be under way at once. Bounds the LLM work that asking ahead can waste.',
      ),
    overrides,
    limits: limits.prefault({}).describe('What one router takes on.'),
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
    resources: resources.describe(
      'CPU and memory of the router container. Left out: requests of 500m and 512Mi; with a checkpoint 1 CPU and 1Gi, or 1536Mi with precision fp32; no limits.',
    ),
  })
  .meta(
    rules(...strategyRules, {
      rule: "!has(self.precision) || self.precision != 'int8' || self.device != 'cuda'",
      message: 'precision: a GPU does not compute in int8; set precision: fp32 or leave it out, or set device: cpu',
    }),
  );

/** With what a followed R2RRouter offers, which is no field of the resource: it is looked up before anything is rendered. */
export type RouterSpec = z.infer<typeof routerSchema> & { readonly offer?: RouterOffer };
