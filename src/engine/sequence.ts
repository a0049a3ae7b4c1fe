import type { TokenLogprobs } from './logits.ts';
import type { FinishReason, PromptLogprobs, SequenceOutput, SequenceRequest } from './messages.ts';
import type { CachePosition } from './radix-cache.ts';
import { seededRandom, type Random } from './sampler.ts';

/** Tokens between reports of a sequence that is not streamed. */
const quietInterval = 50;

export interface StopRules {
  /** End tokens of the model. */
  readonly endIds: ReadonlySet<number>;
  /** Ids to text with special tokens kept and unknown ids left out. */
  readonly decode: (ids: readonly number[]) => string;
}

/** A request on its way through the scheduler: its tokens, its slots, and what of it has been reported. */
export class Sequence {
  readonly request: SequenceRequest;
  readonly output: number[] = [];
  readonly counts = new Map<number, number>();
  readonly logprobs: TokenLogprobs[] = [];
  readonly hiddenStates: Float32Array[] = [];
  readonly random: Random;
  readonly stopIds: ReadonlySet<number>;
  readonly queuedAt: number;
  promptLogprobs: PromptLogprobs | undefined;
  finish: FinishReason | null = null;
  /** Slots of prompt and output tokens; those of the first `computed` tokens hold keys and values. */
  slots: Int32Array;
  computed = 0;
  /** The first `cachedLength` slots belong to the prefix cache, locked at `position`. */
  cachedLength = 0;
  position: CachePosition | undefined;
  cachedTokens = 0;
  startedAt = 0;
  prefilledAt = 0;
  abortRequested = false;
  readonly #rules: StopRules;
  #reported = 0;
  #promptReported = false;

  constructor(request: SequenceRequest, rules: StopRules, now: number) {
    this.request = request;
    this.#rules = rules;
    this.queuedAt = now;
    this.random = request.sampling.seed === undefined ? Math.random : seededRandom(request.sampling.seed);
    this.stopIds = new Set([...request.sampling.stopTokenIds, ...rules.endIds]);
    this.slots = new Int32Array(request.promptIds.length + request.sampling.maxNewTokens);
  }

  get promptLength(): number {
    return this.request.promptIds.length;
  }

  get streamed(): boolean {
    return this.request.stream;
  }

  /** Tokens whose keys and values will exist when the sequence is done; the last token's are never computed. */
  get slotsNeeded(): number {
    return this.promptLength + Math.max(this.request.sampling.maxNewTokens - 1, 0);
  }

  /** The token at a position of prompt and output. */
  tokenAt(position: number): number {
    const { promptIds } = this.request;
    return (position < promptIds.length ? promptIds[position] : this.output[position - promptIds.length]) ?? 0;
  }

  /** The first `length` tokens of prompt and output. */
  tokens(length: number): Int32Array {
    return Int32Array.from({ length }, (_, position) => this.tokenAt(position));
  }

  /** Appends a token and decides whether the sequence ends with it. */
  accept(token: number): void {
    this.output.push(token);
    this.counts.set(token, (this.counts.get(token) ?? 0) + 1);
    const { sampling } = this.request;
    const matched = this.#matchedStop();
    if (matched !== undefined) this.finish = { type: 'stop', matched };
    else if (!sampling.ignoreEos && this.stopIds.has(token)) this.finish = { type: 'stop', matched: token };
    else if (this.output.length >= sampling.maxNewTokens) this.finish = { type: 'length', length: sampling.maxNewTokens };
  }

  /** The text of the last tokens, as far back as a stop string that ends here can begin. */
  #tail(): string {
    return this.#rules.decode(this.output.slice(-(this.request.sampling.stopTokens + 1)));
  }

  #matchedStop(): string | undefined {
    const { stop } = this.request.sampling;
    if (stop.length === 0) return undefined;
    const tail = this.#tail();
    return stop.find((text) => tail.includes(text));
  }

  /** Whether the text ends in what may become a stop string: then a stream waits. */
  #mayBeStopping(): boolean {
    const { stop } = this.request.sampling;
    if (stop.length === 0) return false;
    const tail = this.#tail();
    return stop.some((text) => {
      for (let length = Math.min(tail.length, text.length); length > 0; length--) if (tail.endsWith(text.slice(0, length))) return true;
      return false;
    });
  }

  get shouldReport(): boolean {
    if (this.finish) return true;
    if (!this.streamed) return this.output.length % quietInterval === 0;
    const unreported = this.output.length - this.#reported;
    const due = unreported >= this.request.sampling.streamInterval || (this.#reported === 0 && unreported > 0);
    return due && !this.#mayBeStopping();
  }

  /** What is new since the last report. */
  report(): SequenceOutput {
    const from = this.#reported;
    this.#reported = this.output.length;
    const promptLogprobs = this.#promptReported ? undefined : this.promptLogprobs;
    this.#promptReported = true;
    return {
      rid: this.request.rid,
      ids: this.output.slice(from),
      finish: this.finish,
      promptTokens: this.promptLength,
      completionTokens: this.output.length,
      cachedTokens: this.cachedTokens,
      promptLogprobs,
      logprobs: this.logprobs.slice(from),
      hiddenStates: this.hiddenStates.slice(from),
      times: { queued: this.queuedAt, started: this.startedAt, prefilled: this.prefilledAt },
    };
  }
}
