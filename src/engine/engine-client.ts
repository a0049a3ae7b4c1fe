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
  #calls = 0;
  #state = idleState;
  /** When the last report came, in milliseconds of `performance.now()`. */
  lastReportAt = 0;

  private constructor(worker: Worker, facts: ModelFacts) {
    this.#worker = worker;
    this.facts = facts;
    worker.on('message', (reply: WorkerReply) => this.#receive(reply));
  }

  /** Loads the model in a new thread. Rejects with `EngineStartError`. `onDeath` is called if the thread ends unasked. */
  static async start(options: WorkerOptions, onDeath: (error: Error) => void): Promise<EngineClient> {
    const worker = new Worker(new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url), {
      workerData: options,
    });
    const started = Promise.withResolvers<ModelFacts>();
    worker.once('message', (reply: WorkerReply) => {
      if (reply.type === 'ready') started.resolve(reply.facts);
      else started.reject(new EngineStartError(reply.type === 'refused' ? reply.message : 'the engine thread sent nonsense'));
    });
    worker.once('error', (error) => started.reject(new EngineStartError(String(error))));
    let facts: ModelFacts;
    try {
      facts = await started.promise;
    } catch (error) {
      await worker.terminate();
      throw error;
    }
    worker.on('error', (error) => onDeath(error instanceof Error ? error : new Error(String(error))));
    return new EngineClient(worker, facts);
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
    const gone = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
    this.#post({ type: 'close' });
    await gone;
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
