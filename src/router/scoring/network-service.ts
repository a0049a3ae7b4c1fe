import { setTimeout as sleep } from 'node:timers/promises';
import { ScoringError } from './errors.ts';
import { numbersPerRow, type NetworkFacts, type NetworkOptions } from './messages.ts';
import { NetworkThread } from './network-thread.ts';
import { packRows } from './row-batch.ts';
import { RowQueue, type RowSlice } from './row-queue.ts';
import type { ScoringObserver, ScoringStats } from './scoring-stats.ts';
import type { ScorableRow } from './signals.ts';
import { SpreadWindow } from './spread-window.ts';

export interface ServiceOptions extends NetworkOptions {
  /** Rows of one run at most. @default 64 */
  readonly batchRows?: number;
  /** Waits before each further start of a lost thread; the last one repeats. @default [0, 1_000, 5_000, 30_000] */
  readonly restartDelaysMs?: readonly number[];
  readonly observer?: ScoringObserver;
}

/** A thread that has lived this long starts the back-off anew when it is lost. */
const stableMs = 60_000;

/** The rows of one call, and what is known of them so far. */
interface Request {
  readonly rows: readonly ScorableRow[];
  readonly numbers: Float64Array;
  readonly since: number;
  missing: number;
  readonly resolve: (numbers: Float64Array) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Scores the rows of all requests together: whenever the network is free, all rows that wait go in one run. A lost thread costs the requests that
 * had rows in it, and is started again.
 */
export class NetworkService {
  readonly facts: NetworkFacts;
  readonly #options: ServiceOptions;
  readonly #queue = new RowQueue<Request>();
  readonly #spread: SpreadWindow | undefined;
  readonly #closing = new AbortController();
  #thread: NetworkThread | undefined;
  /** Why there is no thread, and no start of one under way. */
  #down: ScoringError | undefined;
  #restarts = 0;
  #startedAt = performance.now();
  #loadMs: number;
  #runningRows = 0;
  #rows = 0;
  #batches = 0;
  #runMs = 0;
  #failures = 0;

  private constructor(options: ServiceOptions, thread: NetworkThread) {
    this.#options = options;
    this.#thread = thread;
    this.facts = thread.facts;
    this.#loadMs = thread.facts.loadMs;
    this.#spread = thread.facts.manifest.inputs.includes('lm_head') ? new SpreadWindow() : undefined;
    this.#watch(thread);
  }

  /** @throws ScoringError */
  static async start(options: ServiceOptions): Promise<NetworkService> {
    return new NetworkService(options, await NetworkThread.start(options));
  }

  get stats(): ScoringStats {
    return {
      up: this.#thread !== undefined,
      loadMs: this.#loadMs,
      rows: this.#rows,
      batches: this.#batches,
      waitingRows: this.#queue.rows,
      runningRows: this.#runningRows,
      runMs: this.#runMs,
      failures: this.#failures,
      spread: this.#spread?.stats,
    };
  }

  /**
   * @param rows complete ones, see `isComplete`
   * @returns [rows, numbersPerRow]
   * @throws the signal's reason; ScoringError `network_failed` or `scoring_closed`
   */
  async score(rows: readonly ScorableRow[], signal: AbortSignal): Promise<Float64Array> {
    signal.throwIfAborted();
    if (this.#isClosing()) throw closed();
    if (this.#down) throw this.#down;
    const { promise, resolve, reject } = Promise.withResolvers<Float64Array>();
    const numbers = new Float64Array(rows.length * numbersPerRow);
    const request: Request = { rows, numbers, since: performance.now(), missing: rows.length, resolve, reject };
    const onAbort = (): void => {
      this.#queue.drop(new Set([request]));
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#queue.add(request, rows.length);
    if (rows.length === 0) resolve(numbers);
    this.#next();
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Fails what waits, lets the batch under way end, ends the thread. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const { reject } of this.#queue.clear()) reject(closed());
    await this.#thread?.close();
  }

  /** Starts the next batch unless one is under way. */
  #next(): void {
    const thread = this.#thread;
    if (!thread || this.#runningRows > 0) return;
    const slices = this.#queue.take(this.#options.batchRows ?? 64);
    const [oldest] = slices;
    if (oldest) void this.#run(thread, slices, performance.now() - oldest.request.since);
  }

  /** Never rejects. */
  async #run(thread: NetworkThread, slices: readonly RowSlice<Request>[], waitedMs: number): Promise<void> {
    const rows = slices.flatMap(({ request, from, to }) => request.rows.slice(from, to));
    this.#runningRows = rows.length;
    const startedAt = performance.now();
    try {
      const { numbers, runMs } = await thread.run(packRows(rows, this.facts.manifest));
      const turnMs = performance.now() - startedAt;
      this.#runningRows = 0;
      this.#rows += rows.length;
      this.#batches++;
      this.#runMs += runMs;
      // the network goes on before anybody looks at the numbers
      this.#next();
      this.#deliver(slices, numbers);
      this.#options.observer?.batch({ rows: rows.length, requests: slices.length, runMs, turnMs, waitedMs });
    } catch (error) {
      this.#runningRows = 0;
      const lost = new Set(slices.map(({ request }) => request));
      this.#queue.drop(lost);
      for (const { reject } of lost) reject(error);
      // without this thread: `#watch` puts a new one in its place
      if (this.#thread === thread) this.#thread = undefined;
    }
  }

  #deliver(slices: readonly RowSlice<Request>[], numbers: Float64Array): void {
    let done = 0;
    for (const { request, from, to } of slices) {
      const part = numbers.subarray(done * numbersPerRow, (done + to - from) * numbersPerRow);
      request.numbers.set(part, from * numbersPerRow);
      for (let at = numbersPerRow - 1; at < part.length; at += numbersPerRow) this.#spread?.add(part[at] ?? Number.NaN);
      done += to - from;
      request.missing -= to - from;
      if (request.missing === 0) request.resolve(request.numbers);
    }
  }

  #watch(thread: NetworkThread): void {
    void thread.ended.then(() => {
      if (this.#thread === thread) this.#thread = undefined;
      if (!this.#isClosing()) void this.#restart();
    });
  }

  /** Never rejects. Rows that come while a start is under way wait for it; in the pauses between starts they fail at once. */
  async #restart(): Promise<void> {
    if (performance.now() - this.#startedAt > stableMs) this.#restarts = 0;
    this.#failed(new ScoringError('network_failed', "the router network's thread was lost"));
    for (;;) {
      const delays = this.#options.restartDelaysMs ?? [0, 1_000, 5_000, 30_000];
      const delayMs = delays[Math.min(this.#restarts++, delays.length - 1)] ?? 0;
      if (delayMs > 0) {
        this.#down ??= new ScoringError('network_failed', `the router network's thread was lost; it starts again within ${delayMs} ms`);
        for (const { reject } of this.#queue.clear()) reject(this.#down);
        await sleep(delayMs, undefined, { signal: this.#closing.signal, ref: false }).catch(() => undefined);
      }
      if (this.#isClosing()) return;
      this.#down = undefined;
      try {
        const thread = await NetworkThread.start(this.#options);
        if (this.#isClosing()) {
          await thread.close();
          return;
        }
        if (thread.facts.digest !== this.facts.digest) {
          await thread.close();
          throw new ScoringError('bundle_refused', `${this.#options.bundleFolder} holds another bundle now`);
        }
        this.#thread = thread;
        this.#startedAt = performance.now();
        this.#loadMs = thread.facts.loadMs;
        this.#watch(thread);
        this.#next();
        return;
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        this.#down = new ScoringError('network_failed', `the router network cannot be started again: ${reason}`, { cause });
        this.#failed(this.#down);
        for (const { reject } of this.#queue.clear()) reject(this.#down);
      }
    }
  }

  #isClosing(): boolean {
    return this.#closing.signal.aborted;
  }

  #failed(error: ScoringError): void {
    this.#failures++;
    this.#options.observer?.failure(error);
  }
}

function closed(): ScoringError {
  return new ScoringError('scoring_closed', 'another router bundle has taken over, or the router is ending');
}
