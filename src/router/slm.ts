import { setTimeout as sleep } from 'node:timers/promises';
import { EngineError, type GeneratedToken } from '../sglang/index.ts';
import { validTokens, type Engine } from './engines.ts';
import { ApiError } from './errors.ts';
import type { Scorer } from './strategy.ts';

export interface SlmOptions {
  readonly engine: Engine;
  /** Ids below this are known to both models and the tokenizer. */
  readonly validIds: number;
  /** Ids that end an answer, of either model. */
  readonly endIds: readonly number[];
  /** How long one block may take. @default 30_000 */
  readonly timeoutMs?: number;
  /** Waits before each further try after a failure that may pass. @default [50, 200, 800, 2_000] */
  readonly retryDelaysMs?: readonly number[];
}

/** The small model beside this router: drafts blocks, and tries again while its server stumbles or restarts. */
export class Slm {
  readonly #options: SlmOptions;

  constructor(options: SlmOptions) {
    this.#options = options;
  }

  /**
   * Drafts up to `length` tokens after `ids`, at least one. A block may be shorter: it ends at an end token.
   *
   * @throws ApiError `slm_unavailable` when the retries are used up, `engine_error` when trying again would not help
   */
  async draft(
    ids: readonly number[],
    length: number,
    needs: Pick<Scorer, 'topLogprobs' | 'hiddenStates'>,
    signal: AbortSignal,
  ): Promise<readonly GeneratedToken[]> {
    const { engine, validIds, endIds, timeoutMs = 30_000, retryDelaysMs = [50, 200, 800, 2_000] } = this.#options;
    const call = { ids, maxNewTokens: length, ...needs, stopTokenIds: endIds, timeoutMs };
    for (let attempt = 0; ; attempt++) {
      try {
        return validTokens(await engine.generate(call, signal), validIds, engine.url);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof EngineError)) throw error;
        // What the server said can hold paths and addresses: it goes to the log, as the cause, and not to the client.
        if (!error.retryable)
          throw new ApiError('engine_error', "the SLM server refused a call; the router's log has the details under this request id", {
            cause: error,
          });
        const delay = retryDelaysMs[attempt];
        if (delay === undefined) throw new ApiError('slm_unavailable', 'the SLM server does not answer; try again later', { cause: error });
        await sleep(delay, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    }
  }
}
