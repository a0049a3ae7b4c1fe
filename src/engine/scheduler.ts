import { KeyValuePool } from './key-value-pool.ts';
import { describe, logSoftmax, penalize } from './logits.ts';
import type { FinishReason, SchedulerState, SequenceOutput, SequenceRequest } from './messages.ts';
import type { ModelRunner } from './model-runner.ts';
import { PromptLogprobCollector } from './prompt-pass.ts';
import { sample } from './sampler.ts';
import { SchedulerStatistics } from './scheduler-statistics.ts';
import { Sequence, type StopRules } from './sequence.ts';

export interface SchedulerOptions extends StopRules {
  /** Slots of the runner's key-value pool. */
  readonly poolTokens: number;
  readonly maxRunning: number;
  /** Most prompt tokens of one step, unless a single prompt has more. */
  readonly maxPrefillTokens: number;
  /** Prompts are computed in passes of this many tokens, and hidden states come from the last pass only, as in SGLang. */
  readonly chunkedPrefillSize: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Holds a step that computed `promptTokens` (0: a decode step) since `startedAt` until an emulated device would be done. */
  readonly hold: (startedAt: number, promptTokens: number) => void;
}

const aborted: FinishReason = { type: 'abort', message: 'Aborted', status_code: null, err_type: null };
const abortedWaiting: FinishReason = { type: 'abort', message: 'Abort in waiting queue', status_code: null, err_type: null };

/**
 * Continuous batching: each step either computes the prompts of newly admitted sequences or decodes one token for every running one.
 * Sequences are computed one by one, so no sequence's numbers depend on its neighbours.
 */
export class Scheduler {
  readonly #runner: ModelRunner;
  readonly #options: SchedulerOptions;
  readonly #pool: KeyValuePool;
  #waiting: Sequence[] = [];
  #running: Sequence[] = [];
  readonly #statistics = new SchedulerStatistics();

  constructor(runner: ModelRunner, options: SchedulerOptions) {
    this.#runner = runner;
    this.#options = options;
    this.#pool = new KeyValuePool(options.poolTokens);
  }

  get idle(): boolean {
    return this.#waiting.length === 0 && this.#running.length === 0;
  }

  state(): SchedulerState {
    return {
      running: this.#running.length,
      waiting: this.#waiting.length,
      waitingTokens: this.#waiting.reduce((sum, { promptLength }) => sum + promptLength, 0),
      usedTokens: this.#pool.used,
      evictableTokens: this.#pool.cache.evictable,
      ...this.#statistics.totals,
    };
  }

  add(request: SequenceRequest): void {
    this.#waiting.push(new Sequence(request, this.#options, this.#options.now()));
  }

  /** A running sequence ends with its next token; a waiting one at once, and its report is returned. Unknown ids are ignored. */
  abort(rid: string | undefined): SequenceOutput[] {
    const concerns = (sequence: Sequence) => rid === undefined || sequence.request.rid === rid;
    for (const sequence of this.#running) if (concerns(sequence)) sequence.abortRequested = true;
    const gone = this.#waiting.filter(concerns);
    this.#waiting = this.#waiting.filter((sequence) => !gone.includes(sequence));
    return gone.map((sequence) => {
      sequence.finish = abortedWaiting;
      return sequence.report();
    });
  }

  /** Empties the prefix cache; false while sequences run or wait. */
  flush(): boolean {
    if (!this.idle) return false;
    this.#pool.cache.clear();
    return true;
  }

  /** One step; returns what it has to report. */
  async step(): Promise<SequenceOutput[]> {
    const startedAt = this.#options.now();
    const admitted = this.#admit();
    const batch = admitted.length > 0 ? admitted : this.#running;
    const promptTokens = admitted.reduce((sum, sequence) => sum + sequence.promptLength - sequence.cachedLength, 0);
    for (const sequence of batch) {
      try {
        await (admitted.length > 0 ? this.#prefill(sequence, startedAt) : this.#decode(sequence));
      } catch (error) {
        sequence.finish = {
          type: 'abort',
          message: `the model cannot be run: ${String(error)}`,
          status_code: 500,
          err_type: 'InternalServerError',
        };
      }
    }
    this.#options.hold(startedAt, promptTokens);
    this.#account(admitted, promptTokens, startedAt);
    const reports = batch.filter((sequence) => sequence.shouldReport).map((sequence) => sequence.report());
    for (const sequence of batch) if (sequence.finish) this.#retire(sequence);
    this.#running = this.#running.filter((sequence) => !sequence.finish);
    return reports;
  }

  #account(admitted: readonly Sequence[], newTokens: number, startedAt: number): void {
    const endedAt = this.#options.now();
    if (admitted.length === 0) {
      this.#statistics.decoded(startedAt, endedAt, this.#running.length);
      return;
    }
    for (const sequence of admitted) sequence.prefilledAt = endedAt;
    const cachedTokens = admitted.reduce((sum, sequence) => sum + sequence.cachedTokens, 0);
    this.#statistics.prefilled({ startedAt, endedAt, newTokens, cachedTokens, sequences: admitted.length });
  }

  /** Moves waiting sequences to the running ones, in order, while slots and limits allow. All match the cache as it is now. */
  #admit(): Sequence[] {
    const admitted: Sequence[] = [];
    let promptTokens = 0;
    for (let next = this.#waiting[0]; next && this.#running.length < this.#options.maxRunning; next = this.#waiting[0]) {
      const { promptIds, logprobs, cacheKey } = next.request;
      const matchable = logprobs && logprobs.startLength >= 0 ? Math.min(promptIds.length - 1, logprobs.startLength) : promptIds.length - 1;
      const { slots, position } = this.#pool.cache.match(promptIds.subarray(0, matchable), cacheKey);
      promptTokens += promptIds.length - slots.length;
      if (admitted.length > 0 && promptTokens > this.#options.maxPrefillTokens) break;
      this.#pool.cache.lock(position);
      const needed = next.slotsNeeded - slots.length;
      if (needed > this.#pool.available) {
        this.#pool.cache.unlock(position);
        break;
      }
      next.slots.set(slots);
      this.#pool.take(next.slots.subarray(slots.length, next.slotsNeeded));
      next.position = position;
      next.cachedLength = next.cachedTokens = next.computed = slots.length;
      this.#waiting.shift();
      this.#running.push(next);
      admitted.push(next);
    }
    return admitted;
  }

  async #prefill(sequence: Sequence, startedAt: number): Promise<void> {
    sequence.startedAt = startedAt;
    const { promptLength, request, cachedLength } = sequence;
    const { logprobs, promptIds } = request;
    const count = promptLength - cachedLength;
    const wantsPrompt = logprobs !== undefined && logprobs.startLength >= 0;
    const collector = logprobs && new PromptLogprobCollector(logprobs, promptIds, this.#runner.vocabSize);
    let last = new Float32Array();
    const hidden = await this.#runner.forward({
      ids: promptIds.subarray(cachedLength),
      pastSlots: sequence.slots.subarray(0, cachedLength),
      newSlots: sequence.slots.subarray(cachedLength, promptLength),
      firstLogitsRow: wantsPrompt ? Math.min(logprobs.startLength - cachedLength, count - 1) : count - 1,
      onLogits: (row, logits) => {
        if (row === count - 1) last = new Float32Array(logits);
        else collector?.add(cachedLength + row + 1, logits);
      },
    });
    sequence.computed = promptLength;
    sequence.promptLogprobs = collector?.finish();
    this.#share(sequence, promptLength);
    if (request.sampling.maxNewTokens === 0) {
      sequence.finish = { type: 'length', length: 0 };
      return;
    }
    if (request.hiddenStates) {
      const chunk = wantsPrompt ? count : this.#options.chunkedPrefillSize;
      const firstRow = Math.floor((count - 1) / chunk) * chunk;
      sequence.hiddenStates.push(hidden.slice(firstRow * this.#runner.hiddenSize));
    }
    this.#choose(sequence, last);
  }

  async #decode(sequence: Sequence): Promise<void> {
    const { computed } = sequence;
    let logits = new Float32Array();
    const hidden = await this.#runner.forward({
      ids: Int32Array.of(sequence.tokenAt(computed)),
      pastSlots: sequence.slots.subarray(0, computed),
      newSlots: sequence.slots.subarray(computed, computed + 1),
      firstLogitsRow: 0,
      onLogits: (_row, row) => {
        logits = new Float32Array(row);
      },
    });
    sequence.computed = computed + 1;
    if (sequence.request.hiddenStates) sequence.hiddenStates.push(hidden);
    this.#choose(sequence, logits);
  }

  /** Picks the next token from a row of logits and notes what the request wants to know of it. */
  #choose(sequence: Sequence, logits: Float32Array): void {
    const { sampling, logprobs } = sequence.request;
    penalize(logits, sampling, sequence.counts, sequence.stopIds, sequence.output.length);
    const token = sample(logits, sampling, sequence.random);
    if (logprobs) {
      // a choice of one is greedy, and greedy log-probabilities are not tempered
      if (sampling.topK > 1)
        for (let index = 0; index < logits.length; index++) logits[index] = (logits[index] ?? 0) / sampling.temperature;
      logSoftmax(logits);
      sequence.logprobs.push(describe(logits, token, logprobs.topCount, logprobs.tokenIds));
    }
    sequence.accept(token);
    if (sequence.abortRequested) sequence.finish = aborted;
  }

  /** Gives the slots of the first `length` tokens to the prefix cache, and uses the cache's own where it had them already. */
  #share(sequence: Sequence, length: number): void {
    const { cache } = this.#pool;
    const { cacheKey } = sequence.request;
    const ids = sequence.tokens(length);
    const known = cache.insert(ids, sequence.slots.subarray(0, length), cacheKey);
    this.#pool.release(sequence.slots.slice(sequence.cachedLength, Math.max(known, sequence.cachedLength)));
    const { slots, position } = cache.match(ids, cacheKey);
    cache.lock(position);
    if (sequence.position) cache.unlock(sequence.position);
    sequence.position = position;
    sequence.slots.set(slots);
    sequence.cachedLength = length;
  }

  #retire(sequence: Sequence): void {
    if (sequence.computed > sequence.cachedLength) this.#share(sequence, sequence.computed);
    this.#pool.release(sequence.slots.slice(sequence.cachedLength, sequence.slotsNeeded));
    if (sequence.position) this.#pool.cache.unlock(sequence.position);
    sequence.position = undefined;
  }
}
