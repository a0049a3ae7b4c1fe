import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { defaultPrecision } from '../api/router-config.ts';
import type { RouterConfig } from '../api/router-config.ts';
import { networkUri } from '../api/router-offer.ts';
import { defaultEntropyThreshold, defaultStrategy } from '../api/strategies.ts';

/** The routers' live configuration for a spec, and for what the operator has settled about the LLM pool. */
export function routerConfig({ metadata, spec }: R2RDeployment, drainingPodUIDs = spec.pools?.drainingPodUIDs ?? []): RouterConfig {
  const { router, pools } = spec;
  const uri = networkUri(router);
  const { strategy = defaultStrategy(uri !== undefined), device } = router;
  // Never one for a network: a checkpoint's own is the one it was trained for, and only the router has read it.
  const threshold = router.threshold ?? (strategy === 'entropy' ? defaultEntropyThreshold : undefined);
  return {
    modelName: router.modelName ?? metadata.name,
    strategy,
    ...(threshold !== undefined && { threshold }),
    strategyOptions: router.strategyOptions ?? {},
    // The hub's token is the pod's, not the configuration's.
    ...(uri !== undefined && { checkpoint: { uri } }),
    precision: router.precision ?? defaultPrecision(device),
    device,
    maxDraftTokens: router.maxDraftTokens,
    lookahead: router.lookahead,
    maxLookaheadCalls: router.maxLookaheadCalls,
    overrides: router.overrides ?? {},
    limits: router.limits,
    onLLMUnavailable: router.onLLMUnavailable,
    llmTimeoutSeconds: router.llmTimeoutSeconds,
    drainingPodUIDs: [...drainingPodUIDs].sort(),
    ...(pools?.llmScaledToZero && { llmScaledToZero: true }),
  };
}
