import { createHash } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from './canonical-json.ts';
import { neuralStrategies, strategies, strategyOptionsSchema } from './strategies.ts';

/** What a router does when no LLM replica answers within `llmTimeoutSeconds`. */
export const llmUnavailablePolicies = ['UseSLM', 'Wait', 'Fail'] as const;

/** How far a router goes on while the LLM is asked: not at all, behind one open question, or behind further ones too. */
export const lookaheads = ['Off', 'Single', 'Nested'] as const;

/** Arithmetic of the router network. */
export const precisions = ['int8', 'fp32'] as const;

/** What the router network runs on. */
export const devices = ['cpu', 'cuda'] as const;

/** Defaults of the spec and of a configuration that was written before there was the field; once released, they never change. */
export const routerDefaults = {
  device: 'cpu',
  lookahead: 'Single',
  maxLookaheadCalls: 4,
  limits: {
    maxBodyBytes: 8 * 2 ** 20,
    requestTimeoutSeconds: 3600,
    maxConcurrentRequests: 256,
    maxQueuedRequests: 1024,
    maxChoices: 8,
  },
} as const;

/** int8 is made for CPUs; a GPU gains nothing from it. */
export function defaultPrecision(device: (typeof devices)[number]): (typeof precisions)[number] {
  return device === 'cpu' ? 'int8' : 'fp32';
}

const positive = z.number().int().min(1);

const limitsSchema = z.object({
  /** Longest body of a request; a longer one is answered with 413. */
  maxBodyBytes: positive.default(routerDefaults.limits.maxBodyBytes),
  /** From its first byte to its answer's last; then 408, or the end of the stream. */
  requestTimeoutSeconds: positive.default(routerDefaults.limits.requestTimeoutSeconds),
  /** Requests that are worked on at once. */
  maxConcurrentRequests: positive.default(routerDefaults.limits.maxConcurrentRequests),
  /** Requests that wait for one of those; further ones are answered with 429. */
  maxQueuedRequests: z.number().int().min(0).default(routerDefaults.limits.maxQueuedRequests),
  /** Largest `n` of a request. */
  maxChoices: positive.default(routerDefaults.limits.maxChoices),
});

const overridesSchema = z.object({
  /** What a request may choose beside `strategy`; left out: every strategy for which the router has what it needs. */
  strategies: z.array(z.enum(strategies)).optional(),
  /** Bounds of a request's threshold, in the unit of `strategy`; left out: any. */
  minThreshold: z.number().nonnegative().optional(),
  maxThreshold: z.number().nonnegative().optional(),
});

/**
 * The router's live configuration: key `router.json` of the ConfigMap `<name>-<revision>-router`, written by the operator and watched
 * by every router of that revision through the API server; a change takes effect between requests, without a restart. Fields that a
 * router does not know are ignored; a value that it does not know, such as a strategy's name, makes it keep the configuration before.
 */
export const routerConfigSchema = z
  .object({
    /** The model a client names in `model`; also what `/v1/models` lists. */
    modelName: z.string().min(1),
    strategy: z.enum(strategies),
    /**
     * A drafted token is divergent from here on (inclusive). Strategies neural and neural_rolling: the router network's probability, left
     * out: the checkpoint's own. Strategy entropy: nats.
     */
    threshold: z.number().nonnegative().optional(),
    strategyOptions: strategyOptionsSchema.default({}),
    /** Where the router network comes from: a checkpoint or a bundle. */
    checkpoint: z.object({ uri: z.string().min(1) }).optional(),
    /** Left out: {@link defaultPrecision}. */
    precision: z.enum(precisions).optional(),
    device: z.enum(devices).default(routerDefaults.device),
    /** Longest block the SLM drafts in one call. */
    maxDraftTokens: z.number().int().min(1).max(64),
    lookahead: z.enum(lookaheads).default(routerDefaults.lookahead),
    /** LLM calls of one answer that may be under way at once, the one that is waited for included. */
    maxLookaheadCalls: z.number().int().min(1).max(16).default(routerDefaults.maxLookaheadCalls),
    overrides: overridesSchema.default({}),
    limits: limitsSchema.default(routerDefaults.limits),
    onLLMUnavailable: z.enum(llmUnavailablePolicies),
    llmTimeoutSeconds: z.number().positive(),
    /** UIDs of LLM pods that are being drained: no new call goes to them. */
    drainingPodUIDs: z.array(z.string()),
    /** The LLM pool has no replica by policy, and comes back when it is asked for: requests wait for it, whatever `onLLMUnavailable` says. */
    llmScaledToZero: z.boolean().optional(),
  })
  .refine(({ strategy, checkpoint }) => checkpoint || !neuralStrategies.includes(strategy), {
    path: ['checkpoint'],
    message: 'strategies neural and neural_rolling need a router network; set checkpoint.uri',
  })
  .refine(({ strategy, threshold = 0 }) => threshold <= 1 || !neuralStrategies.includes(strategy), {
    path: ['threshold'],
    message: 'is a probability with strategies neural and neural_rolling; set it from 0 to 1',
  });

export type RouterConfig = z.infer<typeof routerConfigSchema>;

/** As it may be written: what has a default may be left out. */
export type RouterConfigInput = z.input<typeof routerConfigSchema>;

/** The ConfigMap key that holds {@link RouterConfig} as JSON. */
export const routerConfigKey = 'router.json';

/**
 * sha256 (hex) of a configuration as the operator writes it into the ConfigMap (canonical JSON). A router reports the digest of the text it
 * read, so that a field it does not know yet counts too; equal digests mean that it has taken this configuration over.
 */
export function routerConfigDigest(config: RouterConfig): string {
  return createHash('sha256').update(canonicalJson(config)).digest('hex');
}
