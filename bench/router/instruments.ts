import { monitorEventLoopDelay } from 'node:perf_hooks';
import { RouterMetrics } from '../../src/router/metrics.ts';

/** What one stretch of a run cost the router's process. */
export interface Reading {
  readonly rssMb: number;
  readonly tokensPerSecond: number;
  /** Share of the tokens that the LLM supplied. */
  readonly llmShare: number;
  /** Event-loop time a token. */
  readonly activeMsPerToken: number;
  readonly lagP99Ms: number;
  /** Time a token spent neither in an engine call nor in the network, one entry a token; meaningful for one conversation without look-ahead. */
  readonly overheadMs: readonly number[];
  readonly steps: Readonly<Record<'draft' | 'score' | 'consult', number>>;
  readonly consultations: { readonly used: number; readonly wasted: number };
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** The router's own metrics, and what only a bench wants to know. */
export class Instruments extends RouterMetrics {
  readonly #lag = monitorEventLoopDelay({ resolution: 1 });
  #loop = performance.eventLoopUtilization();
  #since = performance.now();
  #tokens = 0;
  #overheadMs: number[] = [];
  #cycleMs = 0;
  #lastEnd: number | undefined;
  #steps: Record<'draft' | 'score' | 'consult', number[]> = { draft: [], score: [], consult: [] };
  #consultations = { used: 0, wasted: 0 };

  constructor() {
    super();
    this.#lag.enable();
  }

  override step(kind: 'draft' | 'score' | 'consult', startedMs: number, endedMs: number, tokens: number): void {
    super.step(kind, startedMs, endedMs, tokens);
    this.#steps[kind].push(endedMs - startedMs);
    if (this.#lastEnd !== undefined) this.#cycleMs += Math.max(0, startedMs - this.#lastEnd);
    this.#lastEnd = endedMs;
  }

  override pace(tokens: number, ms: number): void {
    super.pace(tokens, ms);
    this.#tokens += tokens;
    for (let token = 0; token < tokens; token++) this.#overheadMs.push(this.#cycleMs / tokens);
    this.#cycleMs = 0;
  }

  override consultation(ahead: boolean, used: boolean): void {
    super.consultation(ahead, used);
    this.#consultations[used ? 'used' : 'wasted']++;
  }

  reset(): void {
    this.#lag.reset();
    this.#loop = performance.eventLoopUtilization();
    this.#since = performance.now();
    this.#tokens = 0;
    this.#overheadMs = [];
    this.#cycleMs = 0;
    this.#lastEnd = undefined;
    this.#steps = { draft: [], score: [], consult: [] };
    this.#consultations = { used: 0, wasted: 0 };
  }

  read(): Reading {
    const { draft, score, consult } = this.#steps;
    return {
      rssMb: process.memoryUsage().rss / 1e6,
      tokensPerSecond: (this.#tokens * 1000) / (performance.now() - this.#since),
      llmShare: this.#consultations.used / Math.max(1, this.#tokens),
      activeMsPerToken: performance.eventLoopUtilization(this.#loop).active / Math.max(1, this.#tokens),
      // the histogram's own timer takes a millisecond
      lagP99Ms: Math.max(0, this.#lag.percentile(99) / 1e6 - 1),
      overheadMs: this.#overheadMs,
      steps: { draft: median(draft), score: median(score), consult: median(consult) },
      consultations: this.#consultations,
    };
  }
}
