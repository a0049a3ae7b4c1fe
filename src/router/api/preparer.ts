import { Worker } from 'node:worker_threads';
import { ApiError, type ApiErrorCode } from '../errors.ts';
import type { Prompt, PromptModel } from '../prompt.ts';
import { prepare, type PreparationFacts, type Prepared, type Route } from './preparation.ts';

/** What the thread is sent. */
export interface PreparationJob {
  readonly id: number;
  readonly route: Route;
  readonly body: Uint8Array;
  readonly facts: PreparationFacts;
}

/** Token ids as they travel between threads: without it a long prompt takes milliseconds to arrive. */
export interface TravellingPrompt extends Omit<Prompt, 'ids'> {
  readonly ids: Int32Array;
}

/** What it answers: one of the three. */
export interface PreparationOutcome {
  readonly prepared?: Omit<Prepared, 'prompts'> & { readonly prompts: readonly TravellingPrompt[] };
  readonly refusal?: { readonly code: ApiErrorCode; readonly message: string; readonly param: string | null };
  readonly failure?: string;
}

/** Bodies from here on go to a thread of their own: to tokenise this much takes longer than to hand it over. */
export const largeBodyBytes = 1024;

/**
 * A small young generation keeps what reading the tokenizer leaves behind from staying: for a vocabulary of 151,643 the thread then takes
 * 164 MB instead of 291. The old generation's bound is no more than that: several times what the largest vocabularies need.
 */
const resourceLimits = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 1024 };

type Settle = (outcome: PreparationOutcome) => void;

/** Prepares requests: small ones at once, large ones in another thread, so that nobody waits for the tokeniser. */
export class Preparer {
  readonly #model: PromptModel;
  readonly #modelPath: string;
  #worker: Worker | undefined;
  readonly #jobs = new Map<number, Settle>();
  #last = 0;

  /** @param modelPath the folder that `model` was read from */
  constructor(model: PromptModel, modelPath: string) {
    this.#model = model;
    this.#modelPath = modelPath;
  }

  /** @throws ApiError saying what is wrong with the request, or Error when the thread died of it */
  async prepare(route: Route, body: Uint8Array, facts: PreparationFacts): Promise<Prepared> {
    if (body.length < largeBodyBytes) return prepare(route, body, this.#model, facts);
    const outcome = await new Promise<PreparationOutcome>((settle) => this.#send(route, body, facts, settle));
    const { prepared, refusal } = outcome;
    if (prepared) return { ...prepared, prompts: prepared.prompts.map((prompt) => ({ ...prompt, ids: [...prompt.ids] })) };
    if (refusal) throw new ApiError(refusal.code, refusal.message, refusal.param === null ? {} : { param: refusal.param });
    throw new Error(`preparing a request failed: ${outcome.failure ?? ''}`);
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #send(route: Route, body: Uint8Array, facts: PreparationFacts, settle: Settle): void {
    const id = ++this.#last;
    this.#jobs.set(id, settle);
    const job: PreparationJob = { id, route, body, facts };
    const worker = (this.#worker ??= this.#start());
    worker.ref();
    const { buffer } = body;
    // A body that has its memory for itself is handed over instead of copied.
    worker.postMessage(job, body.byteLength === buffer.byteLength && buffer instanceof ArrayBuffer ? [buffer] : []);
  }

  /** Starts the thread, which the first large request would else have to wait for. */
  warm(): void {
    (this.#worker ??= this.#start()).unref();
  }

  /** Another thread takes its place should it die. */
  #start(): Worker {
    const file = import.meta.url.endsWith('.ts') ? './preparation-worker.ts' : './preparation-worker.js';
    const worker = new Worker(new URL(file, import.meta.url), { workerData: { modelPath: this.#modelPath }, resourceLimits });
    worker.on('message', ({ id, outcome }: { readonly id: number; readonly outcome: PreparationOutcome }) => {
      this.#jobs.get(id)?.(outcome);
      this.#jobs.delete(id);
      if (this.#jobs.size === 0) worker.unref();
    });
    const died = (error?: Error): void => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      const failed = [...this.#jobs.values()];
      this.#jobs.clear();
      for (const settle of failed) settle({ failure: error?.message ?? 'the thread ended' });
    };
    worker.on('error', died).on('exit', () => died());
    return worker;
  }
}
