import type { R2RDeployment } from '../api/r2rdeployment.ts';
import type { RouterConfig } from '../api/router-config.ts';
import { defaultEntropyThreshold } from '../api/router-spec.ts';

/** The routers' live configuration for a spec. `drainingPodUIDs` come from the operator's drain, not from the spec. */
export function routerConfig({ metadata, spec }: R2RDeployment, drainingPodUIDs: readonly string[] = []): RouterConfig {
  const { strategy, threshold, maxDraftTokens, onLLMUnavailable, llmTimeoutSeconds, modelName } = spec.router;
  return {
    modelName: modelName ?? metadata.name,
    strategy,
    ...(strategy === 'entropy' && { threshold: threshold ?? defaultEntropyThreshold }),
    maxDraftTokens,
    onLLMUnavailable,
    llmTimeoutSeconds,
    drainingPodUIDs: [...drainingPodUIDs].sort(),
  };
}
