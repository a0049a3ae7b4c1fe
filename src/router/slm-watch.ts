import { setTimeout as sleep } from 'node:timers/promises';
import type { SglangClient } from '../sglang/index.ts';
import type { Log } from './log.ts';

/** How often the SLM's server is asked whether it is ready. */
const everyMs = 1_000;
/** While it starts, a line in the log every so many seconds. */
const logEveryMs = 10_000;

/** Knows whether the SLM's server, which starts beside this router and may restart at any time, takes requests now. */
export class SlmWatch {
  readonly #stop = new AbortController();
  #ready = false;
  #everReady = false;
  #contextLength: number | undefined;

  constructor(slm: Pick<SglangClient, 'url' | 'ready' | 'contextLength'>, log: Log) {
    void this.#watch(slm, log);
  }

  get ready(): boolean {
    return this.#ready;
  }

  get everReady(): boolean {
    return this.#everReady;
  }

  /** What the server allows; undefined until it said. */
  get contextLength(): number | undefined {
    return this.#contextLength;
  }

  stop(): void {
    this.#stop.abort();
  }

  async #watch(slm: Pick<SglangClient, 'url' | 'ready' | 'contextLength'>, log: Log): Promise<void> {
    const { signal } = this.#stop;
    let since = Date.now();
    let loggedAt = 0;
    for (;;) {
      try {
        const ready = await slm.ready(signal);
        // A server that restarted may allow another length; one that could not say yet is asked until it does.
        if (ready && (!this.#ready || this.#contextLength === undefined))
          this.#contextLength = (await slm.contextLength(signal).catch(() => undefined)) ?? this.#contextLength;
        if (ready && !this.#ready) {
          log.info({ slm: slm.url, contextLength: this.#contextLength, afterMs: Date.now() - since }, 'SLM server is ready');
        }
        if (!ready && (this.#ready || Date.now() - loggedAt >= logEveryMs)) {
          if (this.#ready) since = Date.now();
          loggedAt = Date.now();
          log.info({ slm: slm.url, waitedSeconds: Math.round((Date.now() - since) / 1000) }, 'waiting for the SLM server');
        }
        this.#ready = ready;
        this.#everReady ||= ready;
        await sleep(everyMs, undefined, { signal, ref: false });
      } catch {
        // Only the stop signal ends a wait or a question early.
        return;
      }
    }
  }
}
