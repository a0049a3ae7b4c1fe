import { createHash } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from './canonical-json.ts';

/** Routing strategies of this version: `entropy` routes by the SLM's own uncertainty; `slm` and `llm` send every token to one side (baselines). */
export const strategies = ['entropy', 'slm', 'llm'] as const;

/** What a router does when no LLM replica answers within `llmTimeoutSeconds`. */
export const llmUnavailablePolicies = ['UseSLM', 'Wait', 'Fail'] as const;

/**
 * The router's live configuration: key `router.json` of the ConfigMap `<name>-<revision>-router`, written by the operator and watched
 * by every router of that revision through the API server; a change takes effect between requests, without a restart.
 */
export const routerConfigSchema = z.object({
  /** The model a client names in `model`; also what `/v1/models` lists. */
  modelName: z.string().min(1),
  strategy: z.enum(strategies),
  /** `entropy` only, in nats: a drafted token whose distribution has at least this entropy is divergent. */
  threshold: z.number().nonnegative().optional(),
  /** Longest block the SLM drafts in one call. */
  maxDraftTokens: z.number().int().min(1).max(64),
  onLLMUnavailable: z.enum(llmUnavailablePolicies),
  llmTimeoutSeconds: z.number().positive(),
  /** UIDs of LLM pods that are being drained: no new call goes to them. */
  drainingPodUIDs: z.array(z.string()),
});

export type RouterConfig = z.infer<typeof routerConfigSchema>;
export type Strategy = RouterConfig['strategy'];

/** The ConfigMap key that holds {@link RouterConfig} as JSON. */
export const routerConfigKey = 'router.json';

/**
 * sha256 (hex) of a configuration as the operator writes it into the ConfigMap (canonical JSON). A router reports the digest of the text it
 * read, so that a field it does not know yet counts too; equal digests mean that it has taken this configuration over.
 */
export function routerConfigDigest(config: RouterConfig): string {
  return createHash('sha256').update(canonicalJson(config)).digest('hex');
}
