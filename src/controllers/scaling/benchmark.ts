import type { RouterClient } from '../router-client.ts';

/** Length of the test, in s. */
const seconds = 20;
/** One that gave no figure is not tried again for so long, in ms. */
const retryMs = 60_000;

/** What must be so for a test to begin, and to go on. */
export interface BenchmarkFacts {
  /** No figure is known or set, and a replica is ready. */
  readonly wanted: boolean;
  /** No router has a client. */
  readonly idle: boolean;
  /** A router that takes requests. */
  readonly address: string | undefined;
  readonly revision: string;
  readonly latencyTargetMs: number;
}

/** Has a router try out what one LLM replica can do, while nobody else wants anything of the pool. */
export class Benchmark {
  readonly #routers: RouterClient;
  readonly #onFigure: (revision: string, callsPerSecond: number) => void;
  #abort: AbortController | undefined;
  #notBeforeMs = 0;

  constructor(routers: RouterClient, onFigure: (revision: string, callsPerSecond: number) => void) {
    this.#routers = routers;
    this.#onFigure = onFigure;
  }

  /** Its calls are nobody's demand: what engines say of their load meanwhile means nothing. */
  get running(): boolean {
    return this.#abort !== undefined;
  }

  /** Begins, goes on or ends as the facts say. */
  look({ wanted, idle, address, revision, latencyTargetMs }: BenchmarkFacts, nowMs: number): void {
    if (!wanted || !idle) this.stop();
    if (this.#abort || !wanted || !idle || address === undefined || nowMs < this.#notBeforeMs || !this.#routers.benchmark) return;
    this.#notBeforeMs = nowMs + retryMs;
    const abort = (this.#abort = new AbortController());
    void this.#routers
      .benchmark(address, { seconds, latencyTargetMs }, abort.signal)
      .catch(() => undefined)
      .then((callsPerSecond) => {
        if (this.#abort === abort) this.#abort = undefined;
        if (callsPerSecond !== undefined && !abort.signal.aborted) this.#onFigure(revision, callsPerSecond);
      });
  }

  stop(): void {
    this.#abort?.abort();
    this.#abort = undefined;
  }
}
