import { systemClock, type Clock } from './clock.ts';
import type { KubeMetrics } from './metrics.ts';
import { TokenBucket } from './token-bucket.ts';

export interface WorkQueueOptions {
  /** Label of the metrics. */
  readonly name: string;
  readonly clock?: Clock;
  readonly metrics?: KubeMetrics | undefined;
  /** Pause of a failing key, in ms: the first doubles up to the longest. @default 5 and 1_000_000 */
  readonly backoffMs?: { readonly first: number; readonly longest: number } | undefined;
  /** Limits `addRateLimited` over all keys. @default 10 and 100 */
  readonly overall?: { readonly perSecond: number; readonly burst: number };
}

/**
 * Keys, not events: a key added many times is handled once; a key added while it is being handled is handled again afterwards, never at the
 * same time; keys come out in the order they went in. The rules of client-go's workqueue.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #name: string;
  readonly #metrics: KubeMetrics | undefined;
  readonly #backoffMs: { readonly first: number; readonly longest: number };
  readonly #bucket: TokenBucket;
  /** Key -> since when it waits, in order. */
  readonly #waiting = new Map<string, number>();
  /** Key -> since when it is handled. */
  readonly #processing = new Map<string, number>();
  /** Added while being handled. */
  readonly #again = new Set<string>();
  readonly #later = new Map<string, { readonly at: number; readonly cancel: () => void }>();
  readonly #failures = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  #shutDown = false;

  constructor({ name, clock = systemClock, metrics, backoffMs, overall }: WorkQueueOptions) {
    this.#clock = clock;
    this.#name = name;
    this.#metrics = metrics;
    this.#backoffMs = backoffMs ?? { first: 5, longest: 1_000_000 };
    this.#bucket = new TokenBucket(clock, overall?.perSecond ?? 10, overall?.burst ?? 100);
    metrics?.addQueue(name, this);
  }

  /** Keys that wait now; those under way or delayed do not count. */
  get depth(): number {
    return this.#waiting.size;
  }

  /** Ages of the work under way, in ms, by key. */
  get underWay(): ReadonlyMap<string, number> {
    const now = this.#clock.now();
    return new Map([...this.#processing].map(([key, since]) => [key, now - since]));
  }

  add(key: string): void {
    if (this.#shutDown || this.#waiting.has(key)) return;
    if (this.#processing.has(key)) {
      if (this.#again.has(key)) return;
      this.#again.add(key);
      this.#metrics?.queueAdds.inc({ name: this.#name });
      return;
    }
    this.#metrics?.queueAdds.inc({ name: this.#name });
    this.#enqueue(key);
  }

  /** Adds the key after `delayMs`; of several delays the shortest counts. */
  addAfter(key: string, delayMs: number): void {
    if (this.#shutDown) return;
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    const at = this.#clock.now() + delayMs;
    const pending = this.#later.get(key);
    if (pending && pending.at <= at) return;
    pending?.cancel();
    const cancel = this.#clock.setTimeout(() => {
      this.#later.delete(key);
      this.add(key);
    }, delayMs);
    this.#later.set(key, { at, cancel });
  }

  /** After a failure: a pause that grows with the key's failures and keeps to the overall rate. Returns it, in ms. */
  addRateLimited(key: string): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const ownMs = Math.min(this.#backoffMs.longest, this.#backoffMs.first * 2 ** Math.min(failures, 52));
    const delayMs = Math.max(ownMs, this.#bucket.reserve());
    this.#metrics?.queueRetries.inc({ name: this.#name });
    this.addAfter(key, delayMs);
    return delayMs;
  }

  /** The key did well: its next failure starts with the first pause. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The next key, once there is one; undefined when the signal aborts or the queue is shut down. Every key taken must be given to `done`. */
  take(signal?: AbortSignal): Promise<string | undefined> {
    return new Promise((resolve) => {
      const [first] = this.#waiting.keys();
      if (this.#shutDown || signal?.aborted) resolve(undefined);
      else if (first !== undefined) resolve(this.#begin(first));
      else {
        const onAbort = (): void => {
          this.#takers.splice(this.#takers.indexOf(taker), 1);
          resolve(undefined);
        };
        const taker = (key: string | undefined): void => {
          signal?.removeEventListener('abort', onAbort);
          resolve(key);
        };
        signal?.addEventListener('abort', onAbort, { once: true });
        this.#takers.push(taker);
      }
    });
  }

  /** The key's work has ended, well or not. */
  done(key: string): void {
    const since = this.#processing.get(key);
    if (since === undefined) return;
    this.#processing.delete(key);
    this.#metrics?.workSeconds.observe({ name: this.#name }, (this.#clock.now() - since) / 1000);
    if (this.#again.delete(key) && !this.#shutDown) this.#enqueue(key);
  }

  /** Forgets what waits and ends every `take`; work under way is the caller's to wait for. */
  shutDown(): void {
    this.#shutDown = true;
    for (const { cancel } of this.#later.values()) cancel();
    this.#later.clear();
    this.#waiting.clear();
    this.#again.clear();
    for (const taker of this.#takers.splice(0)) taker(undefined);
    this.#metrics?.queueDepth.set({ name: this.#name }, 0);
    this.#metrics?.removeQueue(this.#name);
  }

  #enqueue(key: string): void {
    this.#waiting.set(key, this.#clock.now());
    const taker = this.#takers.shift();
    if (taker) taker(this.#begin(key));
    else this.#metrics?.queueDepth.set({ name: this.#name }, this.#waiting.size);
  }

  #begin(key: string): string {
    const now = this.#clock.now();
    this.#metrics?.queueSeconds.observe({ name: this.#name }, (now - (this.#waiting.get(key) ?? now)) / 1000);
    this.#waiting.delete(key);
    this.#processing.set(key, now);
    this.#metrics?.queueDepth.set({ name: this.#name }, this.#waiting.size);
    return key;
  }
}
