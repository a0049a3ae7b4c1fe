import { describe, logSoftmax, type TokenLogprobs } from './logits.ts';
import type { LogprobRequest, PromptLogprobs } from './messages.ts';

/**
 * Collects the log-probabilities of prompt tokens while the prompt is computed. Row r of the pass predicts prompt position
 * `firstPosition + r + 1`; the first wanted position has no prediction.
 */
export class PromptLogprobCollector {
  readonly #request: LogprobRequest;
  readonly #promptIds: Int32Array;
  readonly #vocabSize: number;
  readonly #entries: TokenLogprobs[] = [];

  constructor(request: LogprobRequest, promptIds: Int32Array, vocabSize: number) {
    this.#request = request;
    this.#promptIds = promptIds;
    this.#vocabSize = vocabSize;
  }

  /** `logits` of the row that predicts prompt position `position`; changed in place. */
  add(position: number, logits: Float32Array): void {
    logSoftmax(logits);
    this.#entries.push(describe(logits, this.#promptIds[position] ?? 0, this.#request.topCount, this.#request.tokenIds));
  }

  finish(): PromptLogprobs {
    const { startLength } = this.#request;
    if (startLength < 0 || startLength >= this.#promptIds.length) return { ids: [], logprobs: [], top: [], chosen: [] };
    return {
      // SGLang reports the last id of the vocabulary as 0 here
      ids: Array.from(this.#promptIds.subarray(startLength), (id) => (id < this.#vocabSize - 1 ? id : 0)),
      logprobs: [null, ...this.#entries.map(({ logprob }) => logprob)],
      top: [null, ...this.#entries.map(({ top }) => top)],
      chosen: [null, ...this.#entries.map(({ chosen }) => chosen)],
    };
  }
}
