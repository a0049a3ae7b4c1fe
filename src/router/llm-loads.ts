import type { EngineLoad } from '../sglang/index.ts';
import type { LlmPool } from './llm-pool.ts';

/** Reads the load of every LLM replica each few seconds. */
export class LlmLoads {
  readonly #pool: LlmPool;
  readonly #timer: NodeJS.Timeout;
  #byUrl: ReadonlyMap<string, EngineLoad> = new Map();

  constructor(pool: LlmPool, everyMs: number) {
    this.#pool = pool;
    this.#timer = setInterval(() => void this.#read(), everyMs).unref();
  }

  /** By replica URL; a replica that does not answer, or has no metrics page, is absent. */
  get byUrl(): ReadonlyMap<string, EngineLoad> {
    return this.#byUrl;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #read(): Promise<void> {
    const answers = this.#pool.replicas.map(async ({ engine }) => [engine.url, await engine.load().catch(() => undefined)] as const);
    this.#byUrl = new Map((await Promise.all(answers)).flatMap(([url, load]) => (load ? [[url, load]] : [])));
  }
}
