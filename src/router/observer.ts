/** How a call to an LLM replica ended, for metrics. */
export type LlmCallOutcome = 'ok' | 'failed' | 'cancelled';

/** What the token loop and the LLM pool report while they work. Times are of a clock that only goes forward. */
export interface LoopObserver {
  /** A drafted block is done with. @param used rows that were emitted, or replaced by the LLM's token; the rest was dropped */
  block(drafted: number, used: number): void;
  /** A call to an LLM replica begins. */
  llmCallStarted?(kind: 'prime' | 'token', promptTokens: number): void;
  /** A call to an LLM replica ended. @param kind `prime` fills the prefix cache with the prompt, `token` supplies tokens */
  llmCall(kind: 'prime' | 'token', outcome: LlmCallOutcome, seconds: number, promptTokens: number): void;
  /** The question put to the LLM at one divergent token is over. @param ahead asked before all tokens in front were certain @param used its answer was emitted */
  consultation?(ahead: boolean, used: boolean): void;
  /** A step of the loop ended, for traces and timing. */
  step?(kind: 'draft' | 'score' | 'consult', startedMs: number, endedMs: number, tokens: number): void;
  /** Tokens were routed and emitted. @param ms since those before, without the time the client took to read */
  pace?(tokens: number, ms: number): void;
}
