import type { RouterConfig } from '../api/router-config.ts';

/** Whether requests can be answered, and what is missing; the body of `GET /ready`. */
export interface Readiness {
  readonly ready: boolean;
  /** In plain words, most basic first; empty when ready. */
  readonly waitingFor: readonly string[];
}

export interface ReadinessFacts {
  readonly stopping: boolean;
  readonly config: RouterConfig | undefined;
  readonly slmReady: boolean;
  readonly llmAvailable: boolean;
  readonly llmEverAvailable: boolean;
}

/**
 * A router is ready when a request would be answered as configured: the SLM is up, the configuration is there, and the LLM could be
 * reached. The LLM may go away again where the policy is to fall back on the SLM.
 */
export function readiness(facts: ReadinessFacts): Readiness {
  const waitingFor: string[] = [];
  if (facts.stopping) waitingFor.push('nothing: this router is stopping');
  if (!facts.config) waitingFor.push('its configuration');
  if (!facts.slmReady) waitingFor.push('the SLM server');
  if (facts.config && facts.config.strategy !== 'slm') {
    const llmOk = facts.config.onLLMUnavailable === 'UseSLM' ? facts.llmEverAvailable : facts.llmAvailable;
    if (!llmOk) waitingFor.push('an LLM replica that takes calls');
  }
  return { ready: waitingFor.length === 0, waitingFor };
}
