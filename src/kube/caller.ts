import { ApiError, ConfigError, ConnectionError, type StatusBody } from './errors.ts';
import { pause } from './clock.ts';
import { Deadline } from './deadline.ts';
import type { Logger } from './logger.ts';
import type { KubeMetrics } from './metrics.ts';
import type { Incoming, Outgoing, Transport } from './transport.ts';

/** One call as metrics, messages and the retry policy see it. */
export interface Call extends Outgoing {
  /** As RBAC calls it: get, list, watch, create, update, patch, delete. */
  readonly verb: string;
  /** `plural.group`, or `raw`. */
  readonly resource: string;
  /** Whether sending it twice does the same as once. */
  readonly idempotent: boolean;
  readonly deadlineMs: number;
  readonly retries: number;
  readonly signal?: AbortSignal | undefined;
  /** Of the body of a successful answer; a longer one fails. */
  readonly maxBytes?: number | undefined;
}

const firstPauseMs = 100;
const longestPauseMs = 5_000;
/** Failures before a byte was sent: even a create may be tried again. */
const neverSent = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT', 'EHOSTUNREACH', 'ENETUNREACH']);

/** The policy around the transport: deadline, retries, renewed credentials, errors, metrics. */
export class Caller {
  readonly #transport: Transport;
  readonly #logger: Logger;
  readonly #metrics: KubeMetrics | undefined;
  readonly #warned = new Set<string>();

  constructor(transport: Transport, logger: Logger, metrics: KubeMetrics | undefined) {
    this.#transport = transport;
    this.#logger = logger;
    this.#metrics = metrics;
  }

  /** The whole body of a successful answer. */
  async text(call: Call): Promise<string> {
    using deadline = new Deadline(labelOf(call), call.deadlineMs, call.signal);
    const started = performance.now();
    try {
      return await this.#withRetries(call, deadline, 'call', ({ body }) =>
        call.maxBytes === undefined ? body.text() : shortText(body, call.maxBytes),
      );
    } finally {
      this.#metrics?.requestDuration.observe({ verb: call.verb, resource: call.resource }, (performance.now() - started) / 1000);
    }
  }

  /** A successful answer whose body is still to be read; `deadline` is the caller's and covers the reading too. */
  open(call: Call, deadline: Deadline): Promise<Incoming> {
    return this.#withRetries(call, deadline, 'watch', (answer) => Promise.resolve(answer));
  }

  async #withRetries<T>(call: Call, deadline: Deadline, use: 'call' | 'watch', read: (answer: Incoming) => Promise<T>): Promise<T> {
    let renewed = false;
    for (let attempt = 0; ; attempt++) {
      const failure = await this.#attempt(call, deadline.signal, use, read);
      if ('value' in failure) return failure.value;
      const { error } = failure;
      if (error instanceof ApiError && error.status === 401 && !renewed) {
        renewed = true;
        this.#transport.renewCredentials();
        continue;
      }
      const waitMs = attempt < call.retries ? waitBefore(error, call, attempt) : undefined;
      if (waitMs === undefined || waitMs >= deadline.remainingMs) throw error;
      this.#logger.debug({ request: labelOf(call), attempt, waitMs, err: error }, 'API call is tried again');
      await pause(waitMs, deadline.signal);
      deadline.signal.throwIfAborted();
    }
  }

  async #attempt<T>(
    call: Call,
    signal: AbortSignal,
    use: 'call' | 'watch',
    read: (answer: Incoming) => Promise<T>,
  ): Promise<{ readonly value: T } | { readonly error: Error }> {
    const count = (code: string): void => this.#metrics?.requests.inc({ verb: call.verb, resource: call.resource, code });
    let status: number | undefined;
    try {
      const answer = await this.#transport.send(call, use, signal);
      status = answer.status;
      if (status >= 400) {
        const body = await answer.body.text();
        count(String(status));
        return { error: new ApiError(labelOf(call), status, statusBody(body), retryAfterMs(answer, body)) };
      }
      this.#warn(call, answer.header('warning'));
      const value = await read(answer);
      count(String(status));
      return { value };
    } catch (error) {
      count(signal.aborted ? 'aborted' : 'broken');
      signal.throwIfAborted();
      return { error: error instanceof ConfigError ? error : new ConnectionError(labelOf(call), error) };
    }
  }

  /** The server's warnings (deprecations, unknown fields), each once. */
  #warn(call: Call, warning: string | undefined): void {
    if (warning === undefined || this.#warned.has(warning) || this.#warned.size >= 100) return;
    this.#warned.add(warning);
    this.#logger.warn({ request: labelOf(call), warning }, 'API server warns');
  }
}

async function shortText(body: AsyncIterable<unknown>, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // to leave the loop is to destroy the stream
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new Error(`the answer is longer than ${Math.round(maxBytes / 1024)} KiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

export function labelOf({ method, path }: Outgoing): string {
  return `${method} ${path.split('?')[0] ?? path}`;
}

/** How long to wait before the next attempt, or undefined when trying again is wrong. */
function waitBefore(error: Error, call: Call, attempt: number): number | undefined {
  const backoffMs = Math.min(longestPauseMs, firstPauseMs * 2 ** attempt) * (0.5 + Math.random() / 2);
  if (error instanceof ConnectionError) {
    const { cause } = error;
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    return call.idempotent || neverSent.has(code) ? backoffMs : undefined;
  }
  if (!(error instanceof ApiError) || (error.status !== 429 && error.status < 500)) return undefined;
  // with Retry-After the server says it has done nothing yet; without, only these two statuses are worth it
  if (error.retryAfterMs !== undefined) return Math.max(error.retryAfterMs, backoffMs);
  return error.status === 429 || (error.status === 503 && call.idempotent) ? backoffMs : undefined;
}

function retryAfterMs(answer: Incoming, body: string): number | undefined {
  const header = answer.header('retry-after');
  const seconds = header === undefined ? statusBody(body).details?.retryAfterSeconds : Number(header);
  if (seconds === undefined) return undefined;
  if (Number.isFinite(seconds)) return seconds * 1000;
  const date = Date.parse(header ?? '');
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

/** The `Status` object of an error answer; a proxy's HTML or plain text becomes its message. */
export function statusBody(text: string): StatusBody {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null) return body;
  } catch {
    // not JSON
  }
  return { message: text.trim().slice(0, 500) || 'empty answer' };
}
