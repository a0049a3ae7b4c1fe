import type { Tokenizer } from '../model/tokenizer.ts';
import { Detokenizer } from './detokenizer.ts';
import type { EngineClient } from './engine-client.ts';
import type { SequencePlan } from './generate-request.ts';
import { HttpError } from './http-error.ts';
import type { TokenLogprobs } from './logits.ts';
import type { FinishReason, PromptLogprobs, SequenceOutput, SequenceTimes } from './messages.ts';

const now = () => performance.timeOrigin + performance.now();

/** The answer to one sequence as it grows. Times are milliseconds since the epoch. */
export class Generation {
  readonly plan: SequencePlan;
  readonly ids: number[] = [];
  readonly logprobs: TokenLogprobs[] = [];
  /** Rows of the prompt pass, then one row a token. */
  readonly hiddenStates: (number[] | number[][])[] = [];
  readonly receivedAt: number;
  promptLogprobs: PromptLogprobs | undefined;
  finish: FinishReason | null = null;
  cachedTokens = 0;
  times: SequenceTimes | undefined;
  dispatchedAt = 0;
  firstTokenAt = 0;
  finishedAt = 0;
  sentAt = 0;
  readonly #detokenizer: Detokenizer;
  readonly #hiddenSize: number;

  constructor(plan: SequencePlan, tokenizer: Tokenizer, hiddenSize: number, receivedAt: number) {
    this.plan = plan;
    this.receivedAt = receivedAt;
    this.#hiddenSize = hiddenSize;
    this.#detokenizer = new Detokenizer(tokenizer, plan.request.promptIds, plan.request.sampling);
  }

  get text(): string {
    return this.#detokenizer.text;
  }

  accept(output: SequenceOutput): void {
    const at = now();
    this.ids.push(...output.ids);
    this.logprobs.push(...output.logprobs);
    for (const rows of output.hiddenStates) this.hiddenStates.push(this.#nest(rows, this.hiddenStates.length === 0));
    this.promptLogprobs ??= output.promptLogprobs;
    this.cachedTokens = output.cachedTokens;
    this.times = output.times;
    this.firstTokenAt ||= this.plan.request.stream ? at : output.times.prefilled || at;
    this.finish = output.finish;
    if (output.finish) this.finishedAt = at;
    this.#detokenizer.push(output.ids, output.finish);
  }

  /** The first entry, of the prompt pass, is a list of rows even when it has one; every other is a row. */
  #nest(rows: Float32Array, isPrompt: boolean): number[] | number[][] {
    if (!isPrompt) return Array.from(rows);
    return Array.from({ length: rows.length / this.#hiddenSize }, (_, row) =>
      Array.from(rows.subarray(row * this.#hiddenSize, (row + 1) * this.#hiddenSize)),
    );
  }
}

/** Starts generations on the engine and follows them. */
export class GenerationService {
  readonly #client: EngineClient;
  readonly #tokenizer: Tokenizer;

  constructor(client: EngineClient, tokenizer: Tokenizer) {
    this.#client = client;
    this.#tokenizer = tokenizer;
  }

  /**
   * Starts sequences together and resolves when all have ended; `onReport` hears of each report before that. An abort of `signal` (the
   * client left) ends them, and so does an error of `onReport`, which is thrown. Throws `HttpError` for a request id that is in use.
   */
  async run(
    plans: readonly SequencePlan[],
    receivedAt: number,
    signal: AbortSignal,
    onReport: (generation: Generation, index: number) => void,
  ): Promise<Generation[]> {
    const taken = plans.find(({ request }) => this.#client.has(request.rid));
    if (taken) throw HttpError.refused(`Duplicate request ID detected: ${taken.request.rid}`);
    const generations = plans.map((plan) => new Generation(plan, this.#tokenizer, this.#client.facts.hiddenSize, receivedAt));
    if (generations.length === 0 || signal.aborted) return generations;
    const ended = Promise.withResolvers<undefined>();
    const abort = () => plans.forEach(({ request }) => this.#client.abort(request.rid));
    let failed = false;
    let open = generations.length;
    this.#client.submit(
      generations.map((generation, index) => ({
        request: generation.plan.request,
        listener: (output) => {
          // an error must not reach the worker's event: nobody catches it there
          try {
            if (!failed) {
              generation.accept(output);
              onReport(generation, index);
            }
          } catch (error) {
            failed = true;
            ended.reject(error);
            abort();
          }
          if (output.finish && --open === 0) ended.resolve(undefined);
        },
      })),
    );
    const dispatchedAt = now();
    for (const generation of generations) generation.dispatchedAt = dispatchedAt;
    signal.addEventListener('abort', abort, { once: true });
    try {
      await ended.promise;
    } finally {
      signal.removeEventListener('abort', abort);
    }
    return generations;
  }
}
