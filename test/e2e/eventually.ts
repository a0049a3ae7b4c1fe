import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Repeats `look` until it neither throws nor returns undefined or false, and returns what it returned.
 *
 * @throws after `timeoutMs`, with the last failure as its cause
 */
export async function eventually<T>(what: string, timeoutMs: number, look: () => Promise<T | undefined | false>): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown;
  while (Date.now() < deadline) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await sleep(200);
  }
  const why = last instanceof Error ? `: ${last.message}` : '';
  throw new Error(`not within ${timeoutMs / 1000} s: ${what}${why}`, { cause: last });
}
