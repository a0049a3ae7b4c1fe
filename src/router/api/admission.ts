import { ApiError } from '../errors.ts';

export interface AdmissionLimits {
  /** Requests that are worked on at once. */
  readonly maxConcurrentRequests: number;
  /** Requests that wait for one of those. */
  readonly maxQueuedRequests: number;
}

interface Waiter {
  readonly admit: () => void;
}

/** Ends a request's turn; later calls do nothing. */
export type Release = () => void;

/** How much one more finished request counts in the mean duration. */
const weight = 0.1;

/** Lets so many requests in, has so many wait in the order of their arrival, and turns the others away. */
export class Admission {
  readonly #limits: () => AdmissionLimits;
  readonly #now: () => number;
  readonly #queue: Waiter[] = [];
  #running = 0;
  #meanMs: number | undefined;

  /**
   * @param limits those in force now
   * @param now milliseconds that only go forward
   */
  constructor(limits: () => AdmissionLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  get running(): number {
    return this.#running;
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** @throws ApiError `too_many_requests` when the queue is full */
  assertRoom(): void {
    const { maxConcurrentRequests, maxQueuedRequests } = this.#limits();
    if (this.#running < maxConcurrentRequests || this.#queue.length < maxQueuedRequests) return;
    const seconds = this.#retryAfterSeconds();
    throw new ApiError(
      'too_many_requests',
      `this router works on ${this.#running} requests and ${this.#queue.length} wait, which is all it takes; try again in ${seconds} s`,
      { retryAfterSeconds: seconds },
    );
  }

  /**
   * Waits for this request's turn.
   *
   * @param signal the request is over: it leaves the queue
   * @throws ApiError `too_many_requests` when the queue is full, or the signal's reason
   */
  async enter(signal: AbortSignal): Promise<Release> {
    signal.throwIfAborted();
    this.assertRoom();
    if (this.#running < this.#limits().maxConcurrentRequests && this.#queue.length === 0) return this.#start();
    const { promise, resolve, reject } = Promise.withResolvers<Release>();
    const waiter = { admit: () => resolve(this.#start()) };
    const leave = (): void => {
      const index = this.#queue.indexOf(waiter);
      if (index >= 0) this.#queue.splice(index, 1);
      reject(signal.reason as Error);
    };
    this.#queue.push(waiter);
    // The limit may have been raised since the last request ended.
    this.#admit();
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  #start(): Release {
    const started = this.#now();
    this.#running++;
    let over = false;
    return () => {
      if (over) return;
      over = true;
      this.#running--;
      const ms = this.#now() - started;
      this.#meanMs = this.#meanMs === undefined ? ms : this.#meanMs + weight * (ms - this.#meanMs);
      this.#admit();
    };
  }

  #admit(): void {
    while (this.#running < this.#limits().maxConcurrentRequests) {
      const next = this.#queue.shift();
      if (!next) return;
      next.admit();
    }
  }

  /** Until a place in the queue is free, if requests go on taking as long as the recent ones. */
  #retryAfterSeconds(): number {
    const untilOneEndsMs = (this.#meanMs ?? 1000) / Math.max(1, this.#running);
    return Math.min(60, Math.max(1, Math.ceil(untilOneEndsMs / 1000)));
  }
}
