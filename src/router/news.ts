import { setTimeout as sleep } from 'node:timers/promises';

/** Wakes whoever waits for something to change. */
export class News {
  readonly #waiting = new Set<() => void>();

  /** Something has changed. */
  tell(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  /** @returns false when none came in time @throws the reason of the first signal that is aborted */
  async wait(timeoutMs: number, signals: readonly AbortSignal[]): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const wake = (): void => resolve(true);
    const cancel = new AbortController();
    this.#waiting.add(wake);
    try {
      const late = sleep(Math.max(0, timeoutMs), false, { signal: AbortSignal.any([...signals, cancel.signal]) });
      return await Promise.race([promise, late]);
    } catch (error) {
      for (const signal of signals) signal.throwIfAborted();
      throw error;
    } finally {
      this.#waiting.delete(wake);
      cancel.abort();
    }
  }
}
