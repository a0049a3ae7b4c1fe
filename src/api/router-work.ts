/** What a router says of the work it gives to both models, from which the pools are scaled. Counters run since the router started. */
import { z } from 'zod';

/** Upper bounds of the classes that latencies are counted in, in ms; a last class takes what is above them all. Never changed. */
export const latencyBoundsMs = [
  1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 65, 80, 100, 125, 150, 200, 250, 300, 400, 500, 750, 1000, 2000, 5000, 10_000, 30_000,
] as const;

/** How many calls fell into each class of {@link latencyBoundsMs}. */
const latencies = z.array(z.number());

/** As an engine says itself. */
export const engineLoadSchema = z.object({
  runningRequests: z.number().optional(),
  queuedRequests: z.number().optional(),
  /** Share of the KV cache in use, 0 to 1. */
  kvUsage: z.number().optional(),
});

export const routerWorkSchema = z.object({
  llm: z.object({
    /** Calls for tokens begun, those given up later included; not those that only read a prompt. */
    calls: z.number(),
    /** Prompt tokens of the calls that only read a prompt. */
    primedTokens: z.number(),
    /** Of the calls for tokens that were answered. */
    latencies,
    /** Client requests that wait for a first LLM replica. */
    waitingRequests: z.number(),
  }),
  slm: z.object({
    draftedTokens: z.number(),
    /** Of drafts, a token. */
    latencies,
    /** Client requests that wait for their turn at this router. */
    queuedRequests: z.number(),
    load: engineLoadSchema.optional(),
  }),
});

export type RouterWork = z.infer<typeof routerWorkSchema>;

/** Body of `POST :9090/r2r/benchmark`: how many calls a second can one LLM replica answer? */
export const benchmarkRequestSchema = z.object({
  /** How long it may take in all. */
  seconds: z.number().min(1).max(60),
  /** 95 % of the calls are to be answered within this. */
  latencyTargetMs: z.number().min(1),
});

/** Its answer, with status 200, or 409 when it could not be finished: a client came, or no replica takes calls. */
export const benchmarkAnswerSchema = z.object({
  callsPerSecond: z.number().optional(),
  /** Why there is no figure. */
  message: z.string().optional(),
});

export type BenchmarkRequest = z.infer<typeof benchmarkRequestSchema>;
export type BenchmarkAnswer = z.infer<typeof benchmarkAnswerSchema>;
