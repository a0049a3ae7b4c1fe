import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { engineReportSchema } from '../api/engine-plan.ts';
import type { EndpointSource } from '../router/index.ts';

const everyMs = 1_000;
/** The launcher asks both engines, with two seconds for each. */
const timeoutMs = 5_000;

/**
 * The LLM of a Colocated pod, which is ready when the pod's launcher says so: the router itself finds out that an LLM is gone only by a call that
 * fails, and here it goes each time the SLM does.
 *
 * @param launcherUrl - `http://host:port` of the launcher
 */
export function launcherEndpoints(url: string, launcherUrl: string): EndpointSource {
  return {
    subscribe(listener) {
      const stop = new AbortController();
      const isOver = (): boolean => stop.signal.aborted;
      let last: boolean | undefined;
      const follow = async (): Promise<void> => {
        while (!isOver()) {
          const ready = await isReady(launcherUrl);
          if (ready !== last && !isOver()) listener([{ url, ready: (last = ready) }]);
          await sleep(everyMs, undefined, { signal: stop.signal, ref: false }).catch(() => undefined);
        }
      };
      void follow();
      return () => stop.abort();
    },
  };
}

/** What says nothing, or something else, is not ready. */
async function isReady(launcherUrl: string): Promise<boolean> {
  try {
    const { body } = await request(`${launcherUrl}/ready`, { reset: true, signal: AbortSignal.timeout(timeoutMs) });
    return engineReportSchema.parse(await body.json()).llm === 'ready';
  } catch {
    return false;
  }
}
