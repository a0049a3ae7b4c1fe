import type { RouterWork } from '../api/router-work.ts';
import type { EngineLoad } from '../sglang/index.ts';

/** What a server says of its load, in the words of `/r2r/status`. */
export type ToldLoad = NonNullable<RouterWork['slm']['load']>;

/** Reads the load of one model server each few seconds. */
export class EngineLoadWatch {
  readonly #timer: NodeJS.Timeout;
  #load: EngineLoad | undefined;

  constructor(engine: { load(): Promise<EngineLoad> }, everyMs: number) {
    const read = async (): Promise<void> => {
      this.#load = await engine.load().catch(() => undefined);
    };
    this.#timer = setInterval(() => void read(), everyMs).unref();
  }

  /** Undefined: it does not answer, or has no metrics page. */
  get load(): EngineLoad | undefined {
    return this.#load;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

export function toldLoad({ runningRequests, queuedRequests, tokenUsage }: EngineLoad): ToldLoad {
  return {
    ...(runningRequests !== undefined && { runningRequests }),
    ...(queuedRequests !== undefined && { queuedRequests }),
    ...(tokenUsage !== undefined && { kvUsage: tokenUsage }),
  };
}
