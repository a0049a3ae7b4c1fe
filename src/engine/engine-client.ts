import { Worker } from 'node:worker_threads';
import type { ModelFacts, SchedulerState, SequenceOutput, SequenceRequest, WorkerReply, WorkerRequest } from './messages.ts';
import type { WorkerOptions } from './options.ts';
import { SchedulerStatistics } from './scheduler-statistics.ts';

/** The model cannot be served; the message says why and what to do. */
export class EngineStartError extends Error {
  readonly code = 'ENGINE_START_FAILED';

  constructor(message: string) {
    super(message);
    this.name = 'EngineStartError';
  }
}

/** The thread that computes has ended unasked; nothing can be generated any more. */
export class EngineDeathError extends Error {
  readonly code = 'ENGINE_DIED';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EngineDeathError';
  }
}

const idleState: SchedulerState = {
  running: 0,
  waiting: 0,
  waitingTokens: 0,
  usedTokens: 0,
  evictableTokens: 0,
  ...new SchedulerStatistics().totals,
};

/** The HTTP thread's handle on the thread that computes. */
export class EngineClient {
  readonly facts: ModelFacts;
  readonly #worker: Worker;
  readonly #listeners = new Map<string, (output: SequenceOutput) => void>();
  readonly #flushes = new Map<number, (done: boolean) => void>();
  readonly #exited: Promise<void>;
  #closing = false;
  #calls = 0;
  #state = idleState;
  /** When the last report came, in milliseconds of `performance.now()`. */
  lastReportAt = 0;

  private constructor(worker: Worker, facts: ModelFacts, onDeath: (error: EngineDeathError) => void) {
    this.#worker = worker;
    this.facts = facts;
    worker.on('message', (reply: WorkerReply) => this.#receive(reply));
    let dead = false;
    const die = (message: string, cause?: unknown) => {
      if (dead || this.#closing) return;
      dead = true;
      onDeath(new EngineDeathError(message, { cause }));
    };
    worker.on('error', (error) => die(`the engine thread failed: ${String(error)}`, error));
    this.#exited = new Promise((resolve) => {
      worker.once('exit', (code) => {
        die(`the engine thread ended with code ${code}`);
        resolve();
      });
    });
  }

  /** Loads the model in a new thread. Rejects with `EngineStartError`. `onDeath` is called, once, if the thread ends unasked. */
  static async start(options: WorkerOptions, onDeath: (error: EngineDeathError) => void): Promise<EngineClient> {
    const worker = new Worker(new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url), {
      workerData: options,
    });
    const started = Promise.withResolvers<ModelFacts>();
    worker.once('message', (reply: WorkerReply) => {
      if (reply.type === 'ready') started.resolve(reply.facts);
      else started.reject(new EngineStartError(reply.type === 'refused' ? reply.message : 'the engine thread sent nonsense'));
    });
    worker.once('error', (error) => started.reject(new EngineStartError(String(error))));
    worker.once('exit', (code) => started.reject(new EngineStartError(`the engine thread ended with code ${code} before it was ready`)));
    let facts: ModelFacts;
    try {
      facts = await started.promise;
    } catch (error) {
      await worker.terminate();
      throw error;
    }
    return new EngineClient(worker, facts, onDeath);
  }

  get state(): SchedulerState {
    return this.#state;
  }

  /** Requests that have not ended. */
  get live(): number {
    return this.#listeners.size;
  }

  has(rid: string): boolean {
    return this.#listeners.has(rid);
  }

  /** Starts sequences together; each one's listener hears every report, the last one with a finish reason. */
  submit(sequences: readonly { readonly request: SequenceRequest; readonly listener: (output: SequenceOutput) => void }[]): void {
    for (const { request, listener } of sequences) this.#listeners.set(request.rid, listener);
    this.#post({ type: 'add', sequences: sequences.map(({ request }) => request) });
  }

  /** Ends a sequence soon; it still reports its end. Unknown ids are ignored. */
  abort(rid: string): void {
    if (this.#listeners.has(rid)) this.#post({ type: 'abort', rid });
  }

  abortAll(): void {
    this.#post({ type: 'abort-all' });
  }

  /** Empties the prefix cache; false while requests run. */
  flush(): Promise<boolean> {
    const call = this.#calls++;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#flushes.set(call, resolve);
    this.#post({ type: 'flush', call });
    return promise;
  }

  /** Stops the thread; sequences still running are lost. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#post({ type: 'close' });
    await this.#exited;
  }

  #post(request: WorkerRequest): void {
    this.#worker.postMessage(request);
  }

  #receive(reply: WorkerReply): void {
    if (reply.type === 'flushed') {
      this.#state = reply.state;
      this.#flushes.get(reply.call)?.(reply.done);
      this.#flushes.delete(reply.call);
    }
    if (reply.type !== 'outputs') return;
    this.#state = reply.state;
    this.lastReportAt = performance.now();
    for (const output of reply.outputs) {
      const listener = this.#listeners.get(output.rid);
      if (output.finish) this.#listeners.delete(output.rid);
      listener?.(output);
    }
  }
}
