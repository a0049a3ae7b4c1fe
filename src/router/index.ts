/** The router sidecar: OpenAI's API in front, token-level routing between an SLM and LLM replicas behind. */
export type { LlmEndpoint } from './llm-replica.ts';
export type { Log } from './log.ts';
export type { LoadNetwork } from './live-routing.ts';
export { startRouter, type RouterOptions, type RunningRouter } from './router.ts';
export { configFile, fixedConfig, fixedEndpoints, type ConfigSource, type EndpointSource, type Unsubscribe } from './sources.ts';
export { OtlpTracer, type OtlpTracerOptions } from './tracing/otlp-tracer.ts';
export { noTracer, type Tracer } from './tracing/tracer.ts';
