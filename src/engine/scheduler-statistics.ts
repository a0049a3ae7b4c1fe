/** Totals since start, for `/v1/loads` and `/metrics`. Times are milliseconds. */
export interface SchedulerTotals {
  readonly prefilledTokens: number;
  readonly prefillMs: number;
  /** Cached share of the prompt tokens of the last prefill step. */
  readonly cacheHitRate: number;
  /** Steps n, and the sums of batch size b, step time t in microseconds, b², b·t and tokens: what a line t(b) is fitted from. */
  readonly decodeMoments: readonly number[];
  /** Tokens a second in the last full second of work. */
  readonly generationRate: number;
}

const rateWindowMs = 1000;

/** Adds up what the scheduler does. */
export class SchedulerStatistics {
  #prefilledTokens = 0;
  #prefillMs = 0;
  #cacheHitRate = 0;
  readonly #moments: [number, number, number, number, number, number] = [0, 0, 0, 0, 0, 0];
  #window = { since: 0, tokens: 0 };
  #rate = 0;

  get totals(): SchedulerTotals {
    return {
      prefilledTokens: this.#prefilledTokens,
      prefillMs: this.#prefillMs,
      cacheHitRate: this.#cacheHitRate,
      decodeMoments: [...this.#moments],
      generationRate: this.#rate,
    };
  }

  prefilled(step: {
    readonly startedAt: number;
    readonly endedAt: number;
    readonly newTokens: number;
    readonly cachedTokens: number;
    readonly sequences: number;
  }): void {
    this.#prefilledTokens += step.newTokens;
    this.#prefillMs += step.endedAt - step.startedAt;
    this.#cacheHitRate = step.cachedTokens / (step.cachedTokens + step.newTokens);
    this.#generated(step.sequences, step.endedAt);
  }

  decoded(startedAt: number, endedAt: number, sequences: number): void {
    const microseconds = Math.round((endedAt - startedAt) * 1000);
    const added = [1, sequences, microseconds, sequences ** 2, sequences * microseconds, sequences] as const;
    for (const [index, value] of added.entries()) this.#moments[index] = (this.#moments[index] ?? 0) + value;
    this.#generated(sequences, endedAt);
  }

  #generated(tokens: number, now: number): void {
    this.#window.tokens += tokens;
    const elapsed = now - this.#window.since;
    if (elapsed < rateWindowMs) return;
    // the first window after an idle time would count the idle time
    this.#rate = elapsed < 2 * rateWindowMs ? (this.#window.tokens * 1000) / elapsed : this.#rate;
    this.#window = { since: now, tokens: 0 };
  }
}
