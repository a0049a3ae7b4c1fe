import { setTimeout as sleep } from 'node:timers/promises';
import { EngineError, type GeneratedToken, type TokenPrefix } from '../sglang/index.ts';
import { DraftCost } from './draft-cost.ts';
import { validTokens, type Engine } from './engines.ts';
import { ApiError } from './errors.ts';

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

/**
 * Drafts under way from which on nothing is drafted on speculation: where many conversations keep the SLM busy, rows that may be dropped would
 * slow down those that are needed.
 */
const busyDrafts = 8;

/** What a block is drafted with. */
export interface DraftNeeds {
  /** Entries of each distribution; 0: none. */
  readonly topLogprobs: number;
  readonly hiddenStates: boolean;
  /** Whether an abandoned draft is aborted on the server instead of left to run out. @default false */
  readonly abortable?: boolean;
}

/** The small model beside this router: drafts blocks, and tries again while its server stumbles or restarts. */
export class Slm {
  readonly #options: SlmOptions;
  readonly #cost = new DraftCost();
  #underWay = 0;

  constructor(options: SlmOptions) {
    this.#options = options;
  }

  /** What a call costs besides its decode steps, in decode steps, as seen lately. */
  get overheadSteps(): number {
    return this.#cost.overheadSteps;
  }

  /** Whether it has more to do than a draft that may be of no use should add to. */
  get busy(): boolean {
    return this.#underWay >= busyDrafts;
  }

  /**
   * Drafts up to `length` tokens after `prefix`, at least one. A block may be shorter: it ends at an end token.
   *
   * @param abandoned nobody wants the draft any more: it is not tried again
   * @throws ApiError `slm_unavailable` when the retries are used up, `engine_error` when trying again would not help
   */
  async draft(
    prefix: TokenPrefix,
    length: number,
    needs: DraftNeeds,
    signal: AbortSignal,
    abandoned?: AbortSignal,
  ): Promise<readonly GeneratedToken[]> {
    const { engine, validIds, endIds, timeoutMs = 30_000, retryDelaysMs = [50, 200, 800, 2_000] } = this.#options;
    const { topLogprobs, hiddenStates, abortable = false } = needs;
    const call = { ...prefix, maxNewTokens: length, topLogprobs, hiddenStates, stopTokenIds: endIds, timeoutMs };
    const wire = abandoned && abortable ? AbortSignal.any([signal, abandoned]) : signal;
    for (let attempt = 0; ; attempt++) {
      try {
        const started = performance.now();
        const tokens = validTokens(await this.#counted(engine.generate(call, wire)), validIds, engine.url);
        this.#cost.observe(tokens.length, performance.now() - started);
        return tokens;
      } catch (error) {
        signal.throwIfAborted();
        abandoned?.throwIfAborted();
        if (!(error instanceof EngineError)) throw error;
        // What the server said can hold paths and addresses: it goes to the log, as the cause, and not to the client.
        if (!error.retryable)
          throw new ApiError('engine_error', "the SLM server refused a call; the router's log has the details under this request id", {
            cause: error,
          });
        const delay = retryDelaysMs[attempt];
        if (delay === undefined)
          throw new ApiError('slm_unavailable', 'the SLM server does not answer; try again later', {
            cause: error,
            ...(error.retryAfterMs !== undefined && { retryAfterSeconds: Math.ceil(error.retryAfterMs / 1000) }),
          });
        // A server that asks for more time than the tries would take gets the longest of their waits.
        const asked = Math.min(error.retryAfterMs ?? 0, Math.max(...retryDelaysMs));
        await sleep(Math.max(delay, asked), undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    }
  }

  async #counted<T>(call: Promise<T>): Promise<T> {
    this.#underWay++;
    try {
      return await call;
    } finally {
      this.#underWay--;
    }
  }
}
