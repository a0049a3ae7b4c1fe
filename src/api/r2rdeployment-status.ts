import { z } from 'zod';
import { modelCacheStatusSchema } from './model-cache-status.ts';
import { maxHistory, servedRevisionSchema } from './rollout-history.ts';
import { scalingStatusSchema } from './scaling-status.ts';

const replicaCounts = z
  .object({
    replicas: z.int32().min(0).describe('Pods that exist.'),
    readyReplicas: z.int32().min(0).describe('Pods that are ready.'),
    updatedReplicas: z.int32().min(0).describe('Pods of the newest revision.'),
  })
  .optional();

export const conditionSchema = z.object({
  type: z.string().min(1).max(316).describe('What the condition is about.'),
  status: z.enum(['True', 'False', 'Unknown']),
  observedGeneration: z.int().min(0).describe('metadata.generation this was decided for.'),
  lastTransitionTime: z.iso.datetime().describe('When status last changed.'),
  reason: z.string().min(1).max(1024).describe('CamelCase word for programs.'),
  message: z.string().max(32_768).describe('Sentence for people.'),
});

export const statusSchema = z.object({
  observedGeneration: z.int().min(0).optional().describe('metadata.generation this status is about.'),
  conditions: z
    .array(conditionSchema)
    .max(16)
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] })
    .optional()
    .describe(
      'Ready, Reconciling, Stalled, SLMReady, LLMReady, RouterReady, RoutingBeneficial, ScalingReady; with models on the hub ModelsReady.',
    ),
  endpoint: z.string().max(512).optional().describe('Base URL inside the cluster, to which /v1/chat/completions is appended.'),
  revision: z
    .object({
      serving: z.string().max(63).optional().describe('Revision the endpoint Service selects.'),
      target: z.string().max(63).optional().describe('Revision of the present spec.'),
    })
    .optional()
    .describe('Hashes of {slm, llm, placement}; they differ while a roll-out is under way.'),
  history: z.array(servedRevisionSchema).max(maxHistory).optional().describe('Revisions that the endpoint has led to, the newest first.'),
  slm: replicaCounts.describe('SLM pods of all revisions.'),
  llm: replicaCounts.describe('LLM pods of all revisions.'),
  selector: z.string().max(1024).optional().describe('Label selector of the LLM pods, for the scale subresource.'),
  routing: z
    .object({
      ratio: z.number().min(0).max(1).describe('Tokens supplied by the LLM / all tokens.'),
      tokensPerSecond: z.number().min(0).describe('Tokens emitted a second, all routers together.'),
      averageActivatedParams: z
        .number()
        .min(0)
        .optional()
        .describe('Parameters used for a token on average: SLM + router network + ratio x LLM.'),
    })
    .optional()
    .describe('Over the last minute, two significant digits.'),
  router: z
    .object({
      configDigest: z.string().max(128).describe('sha256 of the configuration in force at every router.'),
      strategy: z.string().max(64),
      threshold: z.number().optional().describe("In force: the spec's, else the checkpoint's own."),
      bundle: z
        .object({
          digest: z.string().max(128).describe('sha256 of the router bundle.'),
          precision: z.string().max(16).optional().describe('Arithmetic of the network.'),
          uri: z.string().max(2048).optional().describe('Address that the routers have it from.'),
        })
        .optional()
        .describe('The router network that every router scores with; absent while they differ or there is none.'),
    })
    .optional()
    .describe('What the routers run.'),
  modelCache: modelCacheStatusSchema.optional().describe('Models on the hub, and how far their downloads are.'),
  scaling: scalingStatusSchema.optional().describe('What autoscaling wants and why, and pods that are being drained.'),
  summary: z
    .object({
      slm: z.string().max(32).optional().describe('Ready and wanted SLM pods: 1/1.'),
      llm: z.string().max(32).optional().describe('Ready and wanted LLM pods: 2/2.'),
      llmRatio: z.string().max(32).optional().describe('Routing ratio: 13%.'),
      tokensPerSecond: z.string().max(32).optional().describe('Tokens a second: 140.'),
      params: z.string().max(32).optional().describe('Average activated parameters: 5.6B.'),
    })
    .optional()
    .describe('Strings for kubectl get.'),
});

export type Condition = z.infer<typeof conditionSchema>;
export type R2RDeploymentStatus = z.infer<typeof statusSchema>;
