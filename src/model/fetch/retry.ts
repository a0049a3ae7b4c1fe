import { setTimeout as sleep } from 'node:timers/promises';
import { FetchError } from './errors.ts';
import type { FetchLimits } from './limits.ts';

/**
 * Tries until it works or an error is not retryable, with waits that grow, or as long as the server asks for.
 *
 * @param attempt hands back how many bytes were gained by calling `gained`; much progress lets the tries begin anew
 * @throws the last error; the signal's reason
 */
export async function retrying<T>(
  attempt: (gained: (bytes: number) => void) => Promise<T>,
  limits: FetchLimits,
  signal: AbortSignal,
  random: () => number = Math.random,
): Promise<T> {
  for (let tries = 0; ; tries++) {
    let bytes = 0;
    try {
      return await attempt((count) => (bytes += count));
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof FetchError && error.retryable) || error.code === 'FETCH_NO_SPACE') throw error;
      if (bytes >= limits.progressBytes) tries = 0;
      const delayMs = limits.retryDelaysMs[tries];
      if (delayMs === undefined || (error.retryAfterMs ?? 0) > limits.maxRetryAfterMs) throw error;
      await sleep(Math.max(error.retryAfterMs ?? 0, delayMs * (0.5 + random() / 2)), undefined, { signal }).catch(() => undefined);
      signal.throwIfAborted();
    }
  }
}
