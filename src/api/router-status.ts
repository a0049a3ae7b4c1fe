import { z } from 'zod';
import { engineLoadSchema, routerWorkSchema } from './router-work.ts';

const tokenCounts = z.object({ slm: z.number(), llm: z.number(), fallback: z.number() });

/** What becomes of the checkpoint that the configuration names. Another bundle may go on scoring meanwhile. */
export const bundleStates = ['Loading', 'Serving', 'Refused'] as const;

/** The router network: the bundle that scores tokens now, and what becomes of the one that the configuration asks for. */
const bundle = z.object({
  /** `Loading`: fetched, imported or read. `Serving`: in force. `Refused`: it will not be, until the configuration or the checkpoint changes. */
  state: z.enum(bundleStates),
  /** Why it was refused, or what loading is busy with; for people, without secrets. */
  message: z.string().optional(),
  /** sha256 (hex) of the bundle in force, whatever the state of the wanted one; with its precision absent while there is none. */
  digest: z.string().optional(),
  precision: z.string().optional(),
});

/** Something people should look at while the router serves; the operator copies it into a condition. */
const alarm = z.object({
  /** CamelCase, usable as a condition's reason; one of {@link alarmReasons}, or one that a later version adds. */
  reason: z.string(),
  message: z.string(),
});

export const alarmReasons = {
  /** The five candidates for the constant of the raw logits lie far apart: the SLM's server does not answer with what the network was trained on. */
  logitSpreadHigh: 'LogitSpreadHigh',
  /** Routing costs more time than it saves at the present share of the LLM. */
  slowerThanLLM: 'SlowerThanLLM',
} as const;

/**
 * What a router answers on `GET :9090/r2r/status`: the operator's only source for routing numbers and for drain acknowledgements. A router
 * may be older than the operator, so whatever was added since the first version may be missing.
 */
export const routerStatusSchema = z.object({
  /** Another one each time the router starts: its counters begin anew. */
  instance: z.string().optional(),
  /** sha256 (hex) of the configuration in force, so that the operator sees when a change has arrived. */
  configDigest: z.string(),
  strategy: z.string(),
  /** In force: the configuration's, else the bundle's own. */
  threshold: z.number().optional(),
  /** Absent when the configuration names no checkpoint. */
  bundle: bundle.optional(),
  /** How the LLM is asked ahead: the configuration's word. */
  lookahead: z.string().optional(),
  alarms: z.array(alarm).default([]),
  /** What must happen before it takes requests, in words; empty when it does. */
  waitingFor: z.array(z.string()).default([]),
  /** Whether the SLM's server takes requests; of the LLM's, `llmEndpoints` tell. */
  slmReady: z.boolean().optional(),
  /** Client requests being answered now. */
  inFlight: z.number(),
  /** Emitted tokens by source since the start. */
  tokensTotal: tokenCounts,
  /** The same over the last `seconds`. */
  window: z.object({
    seconds: z.number(),
    tokens: tokenCounts,
    tokensPerSecond: z.number(),
    /**
     * Clients' requests that came to their end: answered, or failed with an error of ours (5xx, or the error event that ends a stream).
     * Counted anew when another network comes into force, so that nobody blames it for what failed before.
     * What was refused because of the request itself does not count, nor do clients that left.
     */
    requests: z.object({ total: z.number(), failed: z.number() }).optional(),
  }),
  /** Calls to the LLM since the start, and those among them whose answer was not used because they had been asked ahead. */
  llmCalls: z.object({ started: z.number(), wasted: z.number() }).optional(),
  /** What the pools are scaled from. */
  work: routerWorkSchema.optional(),
  /** Parameter counts: of the models, read from the safetensors headers, absent when the folder has no weights; of the network in force. */
  parameters: z.object({ slm: z.number().optional(), llm: z.number().optional(), router: z.number().optional() }),
  /** LLM replicas this router knows. A pod in `drainingPodUIDs` with 0 in flight here is acknowledged. */
  llmEndpoints: z.array(
    z.object({
      podUID: z.string().optional(),
      address: z.string(),
      ready: z.boolean(),
      draining: z.boolean(),
      inFlight: z.number(),
      load: engineLoadSchema.optional(),
      /** Why it gets no calls although it answers: how it was started, and the fix; for people. */
      problem: z.string().optional(),
    }),
  ),
});

export type RouterStatus = z.infer<typeof routerStatusSchema>;
export type BundleStatus = NonNullable<RouterStatus['bundle']>;
export type RouterAlarm = RouterStatus['alarms'][number];

/** Body of `POST :9090/r2r/probe`: one token end to end. */
export const probeRequestSchema = z.object({
  /** true: the LLM supplies it; false: only the SLM is asked, because the LLM is scaled to zero. */
  viaLLM: z.boolean(),
});

/** Its answer, with status 200, or 503 when `ok` is false. */
export const probeAnswerSchema = z.object({ ok: z.boolean(), message: z.string().optional(), sources: tokenCounts.optional() });

export type ProbeRequest = z.infer<typeof probeRequestSchema>;
export type ProbeAnswer = z.infer<typeof probeAnswerSchema>;
