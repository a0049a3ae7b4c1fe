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
  /** What keeps the router network from being in force, in words; undefined when nothing does. */
  readonly network: string | undefined;
  /** What keeps every client out, in words; undefined when nothing does. */
  readonly access?: string | undefined;
  readonly slmReady: boolean;
  /** Why the SLM's server cannot be used as it was started. */
  readonly slmProblem?: string | undefined;
  readonly llmAvailable: boolean;
  readonly llmEverAvailable: boolean;
  /** Why replicas that answer cannot be used as they were started. */
  readonly llmProblem?: string | undefined;
  /** Since this router started. */
  readonly upMs: number;
}

/**
 * A router is ready when a request would be answered as configured: the SLM is up, the configuration is there, and the LLM takes calls.
 * Where the policy is to fall back on the SLM or to wait, the LLM may go away again: with no router ready, nobody would take the requests
 * that are to wait. Where it is to fall back, a router that starts meanwhile waits for the LLM no longer than a request would.
 */
export function readiness(facts: ReadinessFacts): Readiness {
  const waitingFor: string[] = [];
  if (facts.stopping) waitingFor.push('nothing: this router is stopping');
  if (facts.network !== undefined) waitingFor.push(facts.network);
  else if (!facts.config) waitingFor.push('its configuration');
  if (facts.access !== undefined) waitingFor.push(facts.access);
  if (!facts.slmReady) waitingFor.push(because('the SLM server', facts.slmProblem));
  // A pool that is at zero by policy comes back when a request asks for it, and the request waits.
  if (facts.config && facts.config.strategy !== 'slm' && !facts.config.llmScaledToZero) {
    const { onLLMUnavailable, llmTimeoutSeconds } = facts.config;
    const mayGoAway = onLLMUnavailable !== 'Fail' && facts.llmEverAvailable;
    const slmMayStepIn = onLLMUnavailable === 'UseSLM' && facts.upMs >= llmTimeoutSeconds * 1000;
    if (!facts.llmAvailable && !mayGoAway && !slmMayStepIn) waitingFor.push(because('an LLM replica that takes calls', facts.llmProblem));
  }
  return { ready: waitingFor.length === 0, waitingFor };
}

function because(what: string, problem: string | undefined): string {
  return problem === undefined ? what : `${what} (${problem})`;
}
