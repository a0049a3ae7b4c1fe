/** How a call to an LLM replica ended, for metrics. */
export type LlmCallOutcome = 'ok' | 'failed' | 'cancelled';

/** What the token loop and the LLM pool report while they work. */
export interface LoopObserver {
  /** A drafted block is done with. @param used rows that were decided on before the rest was dropped */
  block(drafted: number, used: number): void;
  /** A call to an LLM replica ended. @param kind `prime` fills the prefix cache with the prompt, `token` supplies tokens */
  llmCall(kind: 'prime' | 'token', outcome: LlmCallOutcome, seconds: number, promptTokens: number): void;
}
