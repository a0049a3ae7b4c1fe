import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { EngineError } from './errors.ts';

export interface HttpAnswer {
  readonly status: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** From the start of sending to the last byte. */
  readonly wireMs: number;
  /** The header `Retry-After`, where it counts seconds. */
  readonly retryAfterMs?: number;
}

export interface Exchange {
  readonly origin: string;
  readonly path: string;
  readonly method: 'GET' | 'POST';
  /** JSON text. */
  readonly body?: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** How long an answer nobody wants any more may take to end before its connection is cut. */
const drainMs = 10_000;
/** How often the server is told meanwhile: an abort that overtakes its request on another connection goes unheard. */
const tellAgainMs = 1_000;

/** Sends a request and reads its answer to the end. @param kill cuts the connection */
export type Send<A> = (kill: AbortSignal) => Promise<A>;

/**
 * One HTTP exchange. When the caller's signal fires or the time is up, the returned promise rejects at once, `onAbandoned` tells the server
 * (again each second), and the answer is still read to its end in the background: closing a connection early leaves zombie requests in some
 * SGLang versions.
 *
 * @returns the answer, and `closed`, which resolves when the exchange is really over
 * @throws the signal's reason, or EngineError `unreachable` | `timeout`
 */
export function exchange<A>(
  send: Send<A>,
  call: Exchange,
  onAbandoned: () => void = () => undefined,
): { readonly answer: Promise<A>; readonly closed: Promise<void> } {
  const kill = new AbortController();
  const wire = send(kill.signal);
  const settled = wire.then(
    () => undefined,
    () => undefined,
  );
  const { promise, resolve, reject } = Promise.withResolvers<A>();
  let drainTimer: NodeJS.Timeout | undefined;
  let tellTimer: NodeJS.Timeout | undefined;
  const abandon = (error: Error): void => {
    reject(error);
    onAbandoned();
    tellTimer = setInterval(onAbandoned, tellAgainMs).unref();
    drainTimer = setTimeout(() => kill.abort(error), drainMs).unref();
  };
  const onAbort = (): void => abandon(reasonOf(call.signal));
  const timer = setTimeout(
    () => abandon(new EngineError('timeout', call.origin, `no answer to ${call.path} within ${call.timeoutMs} ms`)),
    call.timeoutMs,
  );
  call.signal?.addEventListener('abort', onAbort, { once: true });
  if (call.signal?.aborted) onAbort();
  wire.then(resolve, (cause: unknown) => {
    reject(new EngineError('unreachable', call.origin, `${call.method} ${call.path} failed: ${messageOf(cause)}`, { cause }));
  });
  // After the first outcome no more can be abandoned; the drain timer of an abandoned one lives until the wire is done.
  const unhook = (): void => {
    clearTimeout(timer);
    call.signal?.removeEventListener('abort', onAbort);
  };
  const answer = promise.finally(unhook);
  const closed = settled.then(() => {
    clearTimeout(drainTimer);
    clearInterval(tellTimer);
  });
  return { answer, closed };
}

/** What an exchange says on the wire. */
export type Message = Pick<Exchange, 'origin' | 'path' | 'method' | 'body'>;

/** @throws the wire's error */
export async function transmit(dispatcher: Dispatcher, { origin, path, method, body }: Message, signal: AbortSignal): Promise<HttpAnswer> {
  signal.throwIfAborted();
  const receiver = new Receiver(signal);
  const headers = body === undefined ? [] : ['content-type', 'application/json'];
  dispatcher.dispatch({ origin, path, method, headers, body: body ?? null, headersTimeout: 0, bodyTimeout: 0 }, receiver);
  return receiver.answer;
}

/** Collects an answer as undici's parser hands it over. A call is made per block of tokens: a stream and its events would cost more than the rest. */
class Receiver implements Dispatcher.DispatchHandler {
  readonly answer: Promise<HttpAnswer>;
  readonly #settle: Pick<PromiseWithResolvers<HttpAnswer>, 'resolve' | 'reject'>;
  readonly #signal: AbortSignal;
  readonly #startedAt = performance.now();
  readonly #parts: Buffer[] = [];
  #controller: Dispatcher.DispatchController | undefined;
  #status = 0;
  #retryAfter: string | undefined;

  constructor(signal: AbortSignal) {
    const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
    this.answer = promise;
    this.#settle = { resolve, reject };
    this.#signal = signal;
    signal.addEventListener('abort', this.#abort, { once: true });
  }

  readonly #abort = (): void => {
    const reason = reasonOf(this.#signal);
    this.#controller?.abort(reason);
    this.onResponseError(this.#controller, reason);
  };

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#signal.aborted) controller.abort(reasonOf(this.#signal));
  }

  onResponseStart(_: unknown, status: number, headers: IncomingHttpHeaders): void {
    this.#status = status;
    const after = headers['retry-after'];
    this.#retryAfter = typeof after === 'string' ? after : undefined;
  }

  onResponseData(_: unknown, part: Buffer): void {
    this.#parts.push(part);
  }

  onResponseEnd(): void {
    this.#signal.removeEventListener('abort', this.#abort);
    const retryAfterMs = Number(this.#retryAfter ?? Number.NaN) * 1000;
    this.#settle.resolve({
      status: this.#status,
      bytes: joined(this.#parts),
      wireMs: performance.now() - this.#startedAt,
      ...(retryAfterMs > 0 && { retryAfterMs }),
    });
  }

  onResponseError(_: unknown, error: Error): void {
    this.#signal.removeEventListener('abort', this.#abort);
    this.#settle.reject(error);
  }
}

/** In a buffer of their own: the parts lie in one that is used again. */
function joined(parts: readonly Buffer[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export function textOf({ bytes }: HttpAnswer): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  return code && !error.message.includes(code) ? `${error.message} (${code})` : error.message;
}

function reasonOf(signal: AbortSignal | undefined): Error {
  return signal?.reason instanceof Error ? signal.reason : new DOMException('This operation was aborted', 'AbortError');
}
