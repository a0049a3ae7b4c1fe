import type { LoopObserver } from '../observer.ts';

export type AttributeValue = string | number | boolean;
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** One request's trace. */
export interface RequestSpan {
  /** Does a part of the work inside a span of its own. */
  during<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** Hears what the token loop reports, and passes it on. */
  observing(observer: LoopObserver): LoopObserver;
  describe(attributes: Attributes): void;
  fail(error: unknown): void;
  end(): void;
}

/** Makes a trace of each request. */
export interface Tracer {
  /** @param traceparent the header of that name (W3C Trace Context), as it came */
  start(name: string, traceparent: string | undefined, attributes: Attributes): RequestSpan;
  /** Sends what is left. */
  close(): Promise<void>;
}

const noSpan: RequestSpan = {
  during: (_, work) => work(),
  observing: (observer) => observer,
  describe: () => undefined,
  fail: () => undefined,
  end: () => undefined,
};

/** No traces. */
export const noTracer: Tracer = { start: () => noSpan, close: () => Promise.resolve() };
