import { latencyBoundsMs, type RouterWork } from '../api/router-work.ts';

/** Counts by latency class. */
class Latencies {
  readonly #counts = new Array<number>(latencyBoundsMs.length + 1).fill(0);

  add(ms: number): void {
    const found = latencyBoundsMs.findIndex((bound) => ms <= bound);
    const index = found < 0 ? latencyBoundsMs.length : found;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
  }

  get counts(): number[] {
    return [...this.#counts];
  }
}

/** The work this router gives to both models since it started: what the operator scales the pools from. */
export class WorkCounts {
  readonly #llmLatencies = new Latencies();
  readonly #slmLatencies = new Latencies();
  #calls = 0;
  #primedTokens = 0;
  #draftedTokens = 0;

  /** A call to an LLM replica begins. */
  llmCallStarted(kind: 'prime' | 'token', promptTokens: number): void {
    if (kind === 'token') this.#calls++;
    else this.#primedTokens += promptTokens;
  }

  /** A call for tokens was answered. */
  llmCallAnswered(ms: number): void {
    this.#llmLatencies.add(ms);
  }

  /** A draft was answered. */
  drafted(tokens: number, ms: number): void {
    if (tokens === 0) return;
    this.#draftedTokens += tokens;
    this.#slmLatencies.add(ms / tokens);
  }

  get llm(): Omit<RouterWork['llm'], 'waitingRequests'> {
    return { calls: this.#calls, primedTokens: this.#primedTokens, latencies: this.#llmLatencies.counts };
  }

  get slm(): Omit<RouterWork['slm'], 'queuedRequests' | 'load'> {
    return { draftedTokens: this.#draftedTokens, latencies: this.#slmLatencies.counts };
  }
}
