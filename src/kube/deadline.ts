import { DeadlineError } from './errors.ts';

/** A signal that aborts with its parent or when time is up, whichever is first. Disposing it removes timer and listener. */
export class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #parent: AbortSignal | undefined;
  readonly #what: string;
  readonly #onAbort = (): void => this.#controller.abort(this.#parent?.reason);
  #timer: NodeJS.Timeout | undefined;
  #endsAt = Infinity;

  constructor(what: string, ms: number, parent?: AbortSignal) {
    this.#what = what;
    this.#parent = parent;
    if (parent?.aborted) this.#onAbort();
    else parent?.addEventListener('abort', this.#onAbort, { once: true });
    this.extend(ms);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get remainingMs(): number {
    return this.#endsAt - performance.now();
  }

  /** Starts the clock anew. */
  extend(ms: number): void {
    clearTimeout(this.#timer);
    this.#endsAt = performance.now() + ms;
    this.#timer = setTimeout(() => this.#controller.abort(new DeadlineError(this.#what, ms)), ms);
  }

  /** Ends what uses the signal, for example an open stream. */
  abort(): void {
    this.#controller.abort();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#parent?.removeEventListener('abort', this.#onAbort);
  }
}
