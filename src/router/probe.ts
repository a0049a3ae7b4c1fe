import type { ProbeAnswer } from '../api/router-status.ts';
import type { RouterConfig } from '../api/router-config.ts';
import { Conversation } from './conversation.ts';
import type { Serving } from './generation.ts';
import { greedySampler } from './sampler.ts';
import { plainScorer } from './scoring/index.ts';
import { routedTokens } from './token-loop.ts';

/**
 * Sends one token through both models, or through the SLM alone, as a client's request would go: the operator's test of a new revision.
 *
 * @param viaLLM the SLM drafts the token and the LLM supplies it; else the SLM's is taken
 */
export async function probe(serving: Serving, config: RouterConfig, viaLLM: boolean, signal: AbortSignal): Promise<ProbeAnswer> {
  const sources = { slm: 0, llm: 0, fallback: 0 };
  const prompt = serving.tokenizer.encode('ping');
  const llm = new Conversation({
    pool: serving.pool,
    key: 'probe',
    endIds: [...serving.endIds],
    onUnavailable: 'Fail',
    timeoutMs: config.llmTimeoutSeconds * 1000,
  });
  try {
    const tokens = routedTokens({
      prompt,
      maxTokens: 1,
      maxDraftTokens: 1,
      endIds: serving.endIds,
      slm: serving.slm,
      llm,
      strategy: { signals: [], initial: undefined, decide: (state) => ({ state, divergent: viaLLM }) },
      scorer: plainScorer([]),
      sampler: greedySampler,
      keepTop: false,
      lookahead: 'Off',
      maxLookaheadCalls: 1,
      observer: serving.observer,
      signal,
    });
    for await (const step of tokens) for (const { source } of step) sources[source]++;
    return { ok: sources[viaLLM ? 'llm' : 'slm'] === 1, sources };
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error), sources };
  }
}
