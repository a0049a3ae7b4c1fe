import { Agent, request } from 'undici';
import type { Log } from '../log.ts';
import type { Attributes, AttributeValue } from './tracer.ts';

/** A finished span. Times are milliseconds since 1970, with fractions. */
export interface FinishedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: 'server' | 'internal';
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  /** What went wrong; undefined when nothing did. */
  readonly error: string | undefined;
}

export interface OtlpExporterOptions {
  /** Base address of the receiver; spans go to `<endpoint>/v1/traces`. */
  readonly endpoint: string;
  /** Sent with every batch, for instance for authorisation. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Attributes of the process: `service.name` and so on. */
  readonly resource: Attributes;
  readonly log: Log;
  /** Spans that wait at most; further ones are dropped and counted. @default 8_192 */
  readonly maxQueued?: number;
  /** @default 512 */
  readonly maxBatch?: number;
  /** @default 2_000 */
  readonly everyMs?: number;
  /** @default 10_000 */
  readonly timeoutMs?: number;
}

const kinds = { internal: 1, server: 2 } as const;

/**
 * Sends spans to an OpenTelemetry receiver as OTLP over HTTP in JSON (opentelemetry-proto, trace/v1), in batches, one at a time. Nobody
 * waits for it: a batch that cannot be sent is dropped and counted, and so are spans for which there is no room.
 */
export class OtlpExporter {
  readonly #options: OtlpExporterOptions;
  readonly #agent = new Agent({ connections: 1 });
  readonly #timer: NodeJS.Timeout;
  #queue: FinishedSpan[] = [];
  #sending: Promise<void> | undefined;
  #failing = false;
  /** Spans that nobody will see. */
  dropped = 0;

  constructor(options: OtlpExporterOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#send(), options.everyMs ?? 2_000).unref();
  }

  add(span: FinishedSpan): void {
    const { maxQueued = 8_192, maxBatch = 512 } = this.#options;
    if (this.#queue.length >= maxQueued) {
      this.dropped++;
      return;
    }
    this.#queue.push(span);
    if (this.#queue.length >= maxBatch) this.#send();
  }

  /** Sends what is left, once, and stops. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sending;
    while (this.#queue.length > 0) {
      const before = this.dropped;
      this.#send();
      await this.#sending;
      if (this.dropped > before) break;
    }
    await this.#agent.destroy();
  }

  #send(): void {
    if (this.#sending || this.#queue.length === 0) return;
    const batch = this.#queue.splice(0, this.#options.maxBatch ?? 512);
    this.#sending = this.#post(batch).finally(() => {
      this.#sending = undefined;
    });
  }

  async #post(batch: readonly FinishedSpan[]): Promise<void> {
    const { endpoint, headers, log, timeoutMs = 10_000 } = this.#options;
    try {
      const response = await request(`${endpoint.replace(/\/+$/, '')}/v1/traces`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify(this.#bodyOf(batch)),
        dispatcher: this.#agent,
        signal: AbortSignal.timeout(timeoutMs),
      });
      await response.body.dump();
      if (response.statusCode >= 300) throw new Error(`the receiver answered ${response.statusCode}`);
      this.#failing = false;
    } catch (err) {
      this.dropped += batch.length;
      if (!this.#failing) log.warn({ endpoint, err, dropped: this.dropped }, 'traces cannot be sent; they are dropped until they can');
      this.#failing = true;
    }
  }

  #bodyOf(batch: readonly FinishedSpan[]): object {
    const resource = { attributes: attributesOf(this.#options.resource) };
    return { resourceSpans: [{ resource, scopeSpans: [{ scope: { name: 'r2r-router' }, spans: batch.map(spanOf) }] }] };
  }
}

function spanOf({ kind, startMs, endMs, attributes, error, parentSpanId, ...span }: FinishedSpan): object {
  return {
    ...span,
    ...(parentSpanId !== undefined && { parentSpanId }),
    kind: kinds[kind],
    startTimeUnixNano: nanoseconds(startMs),
    endTimeUnixNano: nanoseconds(endMs),
    attributes: attributesOf(attributes),
    // 2: STATUS_CODE_ERROR
    ...(error !== undefined && { status: { code: 2, message: error } }),
  };
}

/** 64-bit numbers travel as text in JSON. */
const nanoseconds = (ms: number): string => BigInt(Math.round(ms * 1e6)).toString();

function attributesOf(attributes: Attributes): readonly object[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: valueOf(value) }));
}

function valueOf(value: AttributeValue): object {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  return Number.isSafeInteger(value) ? { intValue: value.toString() } : { doubleValue: value };
}
