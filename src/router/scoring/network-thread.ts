import { Worker } from 'node:worker_threads';
import { ScoringError } from './errors.ts';
import type { NetworkFacts, NetworkOptions, NetworkReply, NetworkRequest } from './messages.ts';
import { buffersOf, type RowBatch } from './row-batch.ts';

export interface ScoredBatch {
  /** [rows, numbersPerRow] */
  readonly numbers: Float64Array;
  /** Of the network itself: looking up rows, computing, reading the result. */
  readonly runMs: number;
}

/** The handle on a thread that has a network. One batch at a time; after a failure it is of no use any more. */
export class NetworkThread {
  readonly facts: NetworkFacts;
  /** Resolves when the thread has ended, for whatever reason. */
  readonly ended: Promise<void>;
  readonly #worker: Worker;
  #running: PromiseWithResolvers<ScoredBatch> | undefined;
  #failure: ScoringError | undefined;

  private constructor(worker: Worker, facts: NetworkFacts) {
    this.facts = facts;
    this.#worker = worker;
    worker.on('message', (reply: NetworkReply) => this.#receive(reply));
    worker.on('error', (error) => this.#fail(`failed: ${String(error)}`, error));
    this.ended = new Promise((resolve) => {
      worker.once('exit', (code) => {
        this.#fail(`ended with code ${code}`);
        resolve();
      });
    });
    // an idle network does not keep the process alive
    worker.unref();
  }

  /** Loads a network in a new thread. @throws ScoringError */
  static async start({ bundleFolder, slmFolder, precision, device, threads }: NetworkOptions): Promise<NetworkThread> {
    const options: NetworkOptions = { bundleFolder, slmFolder, precision, device, threads };
    const worker = new Worker(new URL(import.meta.url.endsWith('.ts') ? './network-worker.ts' : './network-worker.js', import.meta.url), {
      name: 'router-network',
      workerData: options,
      // Weights and rows lie outside the heap.
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    });
    const started = Promise.withResolvers<NetworkFacts>();
    const fail = (message: string, cause?: unknown) => started.reject(new ScoringError('network_failed', message, { cause }));
    worker.once('message', (reply: NetworkReply) => {
      if (reply.type === 'ready') started.resolve(reply.facts);
      else if (reply.type === 'refused') started.reject(new ScoringError(reply.code, reply.message));
      else fail(`the router network's thread sent ${reply.type} before it was ready`);
    });
    worker.once('error', (error) => fail(`the router network's thread failed while loading: ${String(error)}`, error));
    worker.once('exit', (code) => fail(`the router network's thread ended with code ${code} while loading`));
    try {
      return new NetworkThread(worker, await started.promise);
    } catch (error) {
      await worker.terminate();
      throw error;
    }
  }

  /** Scores a batch, whose buffers are handed over. @throws ScoringError `network_failed`, after which the thread is ending */
  run(batch: RowBatch): Promise<ScoredBatch> {
    if (this.#failure) return Promise.reject(this.#failure);
    this.#running = Promise.withResolvers();
    this.#worker.ref();
    this.#post({ type: 'batch', batch }, buffersOf(batch));
    return this.#running.promise;
  }

  /** Lets the batch under way end, then the thread. */
  async close(): Promise<void> {
    this.#worker.ref();
    this.#post({ type: 'close' });
    await this.ended;
  }

  /** Ends the thread now; a run of ONNX Runtime that is under way still comes to its end. */
  async kill(): Promise<void> {
    await this.#worker.terminate();
  }

  #post(request: NetworkRequest, buffers: ArrayBuffer[] = []): void {
    this.#worker.postMessage(request, buffers);
  }

  #receive(reply: NetworkReply): void {
    if (reply.type === 'scored') {
      const running = this.#running;
      this.#running = undefined;
      this.#worker.unref();
      running?.resolve({ numbers: reply.numbers, runMs: reply.runMs });
    } else if (reply.type === 'failed') {
      // ONNX Runtime may be in any state now, above all on a GPU
      this.#fail(`refused a batch: ${reply.message}`);
      void this.kill();
    }
  }

  #fail(what: string, cause?: unknown): void {
    this.#failure ??= new ScoringError('network_failed', `the router network's thread ${what}`, { cause });
    this.#running?.reject(this.#failure);
    this.#running = undefined;
  }
}
