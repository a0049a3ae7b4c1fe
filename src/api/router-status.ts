import { z } from 'zod';

const tokenCounts = z.object({ slm: z.number(), llm: z.number(), fallback: z.number() });

/** What a router answers on `GET :9090/r2r/status`: the operator's only source for routing numbers and for drain acknowledgements. */
export const routerStatusSchema = z.object({
  /** sha256 (hex) of the configuration in force, so that the operator sees when a change has arrived. */
  configDigest: z.string(),
  strategy: z.string(),
  threshold: z.number().optional(),
  /** What must happen before it takes requests, in words; empty when it does. */
  waitingFor: z.array(z.string()).default([]),
  /** Client requests being answered now. */
  inFlight: z.number(),
  /** Emitted tokens by source since the start. */
  tokensTotal: tokenCounts,
  /** The same over the last `windowSeconds`. */
  window: z.object({ seconds: z.number(), tokens: tokenCounts, tokensPerSecond: z.number() }),
  /** Parameter counts read from the safetensors headers; absent when the folder has no weights. */
  parameters: z.object({ slm: z.number().optional(), llm: z.number().optional() }),
  /** LLM replicas this router knows. A pod in `drainingPodUIDs` with 0 in flight here is acknowledged. */
  llmEndpoints: z.array(
    z.object({ podUID: z.string().optional(), address: z.string(), ready: z.boolean(), draining: z.boolean(), inFlight: z.number() }),
  ),
});

export type RouterStatus = z.infer<typeof routerStatusSchema>;
