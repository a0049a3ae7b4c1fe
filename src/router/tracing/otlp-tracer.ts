import { ApiError } from '../errors.ts';
import type { LoopObserver } from '../observer.ts';
import { OtlpExporter, type FinishedSpan, type OtlpExporterOptions } from './otlp-exporter.ts';
import { newSpanId, newTraceId, readTraceparent } from './trace-context.ts';
import type { Attributes, RequestSpan, Tracer } from './tracer.ts';

export interface OtlpTracerOptions extends OtlpExporterOptions {
  /** Steps of one request's token loop that get a span of their own; further ones are only counted. @default 1_000 */
  readonly maxSteps?: number;
}

/** Sends a trace of each request to an OpenTelemetry receiver, unless the caller's trace says that it is not sampled. */
export class OtlpTracer implements Tracer {
  readonly #exporter: OtlpExporter;
  readonly #maxSteps: number;

  constructor(options: OtlpTracerOptions) {
    this.#exporter = new OtlpExporter(options);
    this.#maxSteps = options.maxSteps ?? 1_000;
  }

  /** Spans that could not be sent. */
  get dropped(): number {
    return this.#exporter.dropped;
  }

  start(name: string, traceparent: string | undefined, attributes: Attributes): RequestSpan {
    const parent = readTraceparent(traceparent);
    const recorded = parent?.sampled ?? true;
    const identity = { traceId: parent?.traceId ?? newTraceId(), spanId: newSpanId(), parentSpanId: parent?.spanId };
    const add = (span: FinishedSpan): void => {
      if (recorded) this.#exporter.add(span);
    };
    return new OtlpRequestSpan(name, identity, attributes, add, this.#maxSteps);
  }

  close(): Promise<void> {
    return this.#exporter.close();
  }
}

type Identity = Pick<FinishedSpan, 'traceId' | 'spanId' | 'parentSpanId'>;

/** Milliseconds since 1970 of a time of the clock that only goes forward. */
const wallMs = (monotonicMs: number): number => performance.timeOrigin + monotonicMs;

class OtlpRequestSpan implements RequestSpan {
  readonly #name: string;
  readonly #identity: Identity;
  readonly #add: (span: FinishedSpan) => void;
  readonly #maxSteps: number;
  readonly #started = performance.now();
  #attributes: Attributes;
  #error: string | undefined;
  #steps = 0;

  constructor(name: string, identity: Identity, attributes: Attributes, add: (span: FinishedSpan) => void, maxSteps: number) {
    this.#name = name;
    this.#identity = identity;
    this.#attributes = attributes;
    this.#add = add;
    this.#maxSteps = maxSteps;
  }

  async during<T>(name: string, work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    try {
      const result = await work();
      this.#child(name, started, performance.now(), {});
      return result;
    } catch (error) {
      this.#child(name, started, performance.now(), {}, describe(error));
      throw error;
    }
  }

  // Required: what an observer may be told some day must be passed on here, too.
  observing(observer: LoopObserver): Required<LoopObserver> {
    return {
      block: (drafted, used) => observer.block(drafted, used),
      llmCallStarted: (...call) => observer.llmCallStarted?.(...call),
      llmCall: (...call) => observer.llmCall(...call),
      consultation: (ahead, used) => observer.consultation?.(ahead, used),
      pace: (tokens, ms) => observer.pace?.(tokens, ms),
      step: (kind, startedMs, endedMs, tokens) => {
        observer.step?.(kind, startedMs, endedMs, tokens);
        if (this.#steps++ < this.#maxSteps) this.#child(kind, startedMs, endedMs, { 'r2r.tokens': tokens });
      },
    };
  }

  describe(attributes: Attributes): void {
    this.#attributes = { ...this.#attributes, ...attributes };
  }

  fail(error: unknown): void {
    this.#error = describe(error);
    const type = error instanceof ApiError ? error.code : error instanceof Error ? error.name : 'unknown';
    this.describe({ 'error.type': type });
  }

  end(): void {
    this.#add({
      ...this.#identity,
      name: this.#name,
      kind: 'server',
      startMs: wallMs(this.#started),
      endMs: wallMs(performance.now()),
      attributes: { ...this.#attributes, 'r2r.steps': this.#steps },
      error: this.#error,
    });
  }

  #child(name: string, startedMs: number, endedMs: number, attributes: Attributes, error?: string): void {
    const { traceId, spanId } = this.#identity;
    const times = { startMs: wallMs(startedMs), endMs: wallMs(endedMs) };
    this.#add({ traceId, spanId: newSpanId(), parentSpanId: spanId, name, kind: 'internal', ...times, attributes, error });
  }
}

const describe = (error: unknown): string => (error instanceof Error ? error.message : String(error));
