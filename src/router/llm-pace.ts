import { setTimeout as sleep } from 'node:timers/promises';
import { EngineError } from '../sglang/index.ts';
import type { LlmPool } from './llm-pool.ts';

const tokens = 17;
const tries = 2;
const timeoutMs = 60_000;
/** A measurement that failed is tried again sooner. */
const retryMs = 5_000;

/** Learns how long one decode step of the LLM takes, which is what routing has to beat: now and then it asks a replica for a few tokens. */
export class LlmPace {
  readonly #pool: LlmPool;
  readonly #stop = new AbortController();
  #stepMs: number | undefined;

  /** @param everyMs 0: never */
  constructor(pool: LlmPool, everyMs = 300_000) {
    this.#pool = pool;
    if (everyMs > 0) void this.#watch(everyMs);
  }

  /** Milliseconds; undefined until it was measured. */
  get stepMs(): number | undefined {
    return this.#stepMs;
  }

  stop(): void {
    this.#stop.abort();
  }

  async #watch(everyMs: number): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const measured = await this.#measure(signal).catch(() => undefined);
      this.#stepMs = measured ?? this.#stepMs;
      await sleep(measured === undefined ? retryMs : everyMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  async #measure(signal: AbortSignal): Promise<number | undefined> {
    const engine = this.#pool.replicas.find(({ available }) => available)?.engine;
    if (!engine) return undefined;
    const time = async (maxNewTokens: number): Promise<number> => {
      const started = performance.now();
      const answer = await engine.generate({ ids: [0], maxNewTokens, timeoutMs }, signal);
      if (answer.tokens.length < maxNewTokens) throw new EngineError('malformed', engine.url, 'the answer is too short to time');
      return performance.now() - started;
    };
    // whatever else the machine does makes a call longer, never shorter
    let [one, all] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (let attempt = 0; attempt < tries; attempt++) {
      one = Math.min(one, await time(1));
      all = Math.min(all, await time(tokens));
    }
    const stepMs = (all - one) / (tokens - 1);
    return stepMs > 0 ? stepMs : undefined;
  }
}
