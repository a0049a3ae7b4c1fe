/** One chat request after the other, each on a connection of its own and never retried, as long as something else happens. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Load {
  readonly answered: number;
  /** What went wrong, one line each. */
  readonly failures: readonly string[];
}

export async function underLoad(url: string, body: object, during: () => Promise<void>): Promise<Load> {
  const failures: string[] = [];
  let answered = 0;
  const over = new AbortController();
  const ask = async (): Promise<void> => {
    while (!over.signal.aborted) {
      try {
        const headers = { 'content-type': 'application/json', connection: 'close' };
        const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
        const text = await response.text();
        if (response.ok) answered += 1;
        else failures.push(`${response.status} ${text.slice(0, 200)}`);
      } catch (error) {
        failures.push(error instanceof Error ? `${error.message} ${String(error.cause)}` : String(error));
      }
      await sleep(250);
    }
  };
  const asking = ask();
  try {
    await during();
  } finally {
    over.abort();
    await asking;
  }
  return { answered, failures };
}
