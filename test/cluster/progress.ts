/** Where long steps say what they do. Lines, not spinners: they read the same in a terminal and in a CI log. */
export type Progress = (line: string) => void;

/** Writes to standard error each line after the time since now, e.g. `  12.3 s  node Ready`. */
export function stderrProgress(now: () => number = Date.now): Progress {
  const started = now();
  return (line) => console.error(`${((now() - started) / 1000).toFixed(1).padStart(7)} s  ${line}`);
}

/** `75_000` -> `1 min 15 s`. */
export function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** Polls `attempt` until it returns something else than undefined or false, or throws the last error after `timeoutMs`. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  attempt: () => Promise<T | undefined | false>,
  intervalMs = 250,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await attempt();
      if (value !== undefined && value !== false) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) {
      const reason = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`${what}: not within ${duration(timeoutMs)}${reason}`, { cause: last });
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
