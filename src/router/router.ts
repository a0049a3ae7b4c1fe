import { setTimeout as sleep } from 'node:timers/promises';
import { routerDefaults } from '../api/router-config.ts';
import type { RouterStatus } from '../api/router-status.ts';
import { loadTokenizer } from '../model/tokenizer-folder.ts';
import { SglangClient } from '../sglang/index.ts';
import { adminApi } from './admin.ts';
import { startApiServer, type ApiServerOptions } from './api/api-server.ts';
import { ApiError } from './errors.ts';
import type { Serving } from './generation.ts';
import { Listening } from './listening.ts';
import { readConfig, type ConfigInForce } from './live-config.ts';
import { LlmLoads } from './llm-loads.ts';
import { LlmPool, type LlmEndpoint } from './llm-pool.ts';
import type { Log } from './log.ts';
import { RouterMetrics } from './metrics.ts';
import { readModelFacts } from './model-folder.ts';
import { promptModel } from './prompt.ts';
import { readiness, type Readiness } from './readiness.ts';
import { Slm } from './slm.ts';
import { SlmWatch } from './slm-watch.ts';
import type { ConfigSource, EndpointSource } from './sources.ts';
import { noTracer, type Tracer } from './tracing/tracer.ts';
import { checkSameVocabulary } from './vocabulary.ts';

export interface RouterOptions {
  /** `http://host:port` of the SLM's server, which may still be starting. */
  readonly slmUrl: string;
  /** Hugging Face folders: tokenizers, configurations, parameter counts. */
  readonly slmModelPath: string;
  readonly llmModelPath: string;
  readonly config: ConfigSource;
  readonly endpoints: EndpointSource;
  readonly log: Log;
  /** @default '0.0.0.0' */
  readonly host?: string;
  /** 0: any free port. @default 8000 */
  readonly port?: number;
  /** @default '0.0.0.0' */
  readonly adminHost?: string;
  /** @default 9090 */
  readonly adminPort?: number;
  /** How long requests are still taken after `/ready` has said no, so that everybody has heard of it. @default 5_000 */
  readonly drainDelayMs?: number;
  /** How long requests in flight may take to finish after that. The pod's grace period is 600 s, the last of it the engine's. @default 540_000 */
  readonly drainTimeoutMs?: number;
  /** How often the LLM replicas' load is read. @default 5_000 */
  readonly loadEveryMs?: number;
  /** API keys, TLS and how long clients may take to send. */
  readonly client?: Pick<ApiServerOptions, 'apiKeysPath' | 'tls' | 'timeouts'>;
  /** @default none */
  readonly tracer?: Tracer;
  readonly metrics?: RouterMetrics;
  /** Milliseconds that only go forward. @default performance.now */
  readonly now?: () => number;
}

/** A router that serves. */
export interface RunningRouter {
  readonly url: string;
  readonly adminUrl: string;
  readiness(): Readiness;
  status(): RouterStatus;
  /** Drains: not ready from now on, then takes no more connections, then finishes what is in flight. @returns whether nothing was cut */
  stop(): Promise<boolean>;
}

/**
 * Starts a router: checks that both models share a vocabulary, then listens; the engines and the configuration may come later.
 *
 * @throws VocabularyError, ModelError for a folder that cannot be read, or the system's error for a taken address
 */
export async function startRouter(options: RouterOptions): Promise<RunningRouter> {
  const { log, now = () => performance.now() } = options;
  const startedAt = now();
  const [slmTokenizer, llmTokenizer, slmFacts, llmFacts] = await Promise.all([
    loadTokenizer(options.slmModelPath),
    loadTokenizer(options.llmModelPath),
    readModelFacts(options.slmModelPath),
    readModelFacts(options.llmModelPath),
  ]);
  checkSameVocabulary(slmTokenizer, llmTokenizer);
  const validIds = Math.min(slmFacts.vocabSize, llmFacts.vocabSize, slmTokenizer.length);
  const endIds = new Set([...slmTokenizer.endIds, ...llmTokenizer.endIds]);
  log.info({ tokens: slmTokenizer.length, validIds, endIds: [...endIds] }, 'models share one vocabulary');

  const metrics = options.metrics ?? new RouterMetrics();
  const slmClient = new SglangClient({ url: options.slmUrl, vocabSize: slmFacts.vocabSize });
  const slm = new Slm({ engine: slmClient, validIds, endIds: [...endIds] });
  const watch = new SlmWatch(slmClient, log);
  const pool = new LlmPool({
    connect: ({ url }) => new SglangClient({ url, vocabSize: llmFacts.vocabSize }),
    validIds,
    observer: metrics,
  });
  const loads = new LlmLoads(pool, options.loadEveryMs ?? 5_000);
  metrics.publishEndpoints(pool, loads);
  const serving: Serving = {
    ...promptModel(slmTokenizer),
    endIds,
    validIds,
    slm,
    pool,
    observer: metrics,
    contextLength: () => Math.min(watch.contextLength ?? slmFacts.maxPositions, pool.contextLength ?? llmFacts.maxPositions),
  };

  let inForce: ConfigInForce | undefined;
  let endpoints: readonly LlmEndpoint[] = [];
  const updatePool = (): void => pool.update(endpoints, inForce?.config.drainingPodUIDs ?? []);
  const unsubscribeConfig = options.config.subscribe((text) => {
    try {
      inForce = readConfig(text);
      log.info({ digest: inForce.digest, config: inForce.config }, 'configuration in force');
      updatePool();
    } catch (err) {
      metrics.configRefused();
      log.error({ err, digestInForce: inForce?.digest }, 'configuration refused; the one before stays in force');
    }
  });
  const unsubscribeEndpoints = options.endpoints.subscribe((list) => {
    if (JSON.stringify(list) !== JSON.stringify(endpoints)) log.info({ endpoints: list }, 'LLM endpoints');
    endpoints = list;
    updatePool();
  });

  let stopping: Promise<boolean> | undefined;
  const state = (): Readiness =>
    readiness({
      stopping: stopping !== undefined,
      config: inForce?.config,
      slmReady: watch.ready,
      llmAvailable: pool.available,
      llmEverAvailable: pool.everAvailable,
      upMs: now() - startedAt,
    });
  const status = (): RouterStatus => ({
    configDigest: inForce?.digest ?? '',
    strategy: inForce?.config.strategy ?? '',
    ...(inForce?.config.threshold !== undefined && { threshold: inForce.config.threshold }),
    alarms: [],
    waitingFor: [...state().waitingFor],
    inFlight: metrics.requestsInFlight,
    tokensTotal: metrics.window.total,
    window: metrics.window.recent,
    parameters: {
      ...(slmFacts.parameters !== undefined && { slm: slmFacts.parameters }),
      ...(llmFacts.parameters !== undefined && { llm: llmFacts.parameters }),
    },
    llmEndpoints: pool.replicas.map(({ endpoint, engine, draining, available }) => ({
      ...(endpoint.podUID !== undefined && { podUID: endpoint.podUID }),
      address: endpoint.url,
      ready: available,
      draining,
      inFlight: engine.inFlight,
    })),
  });

  const api = await startApiServer({
    ...options.client,
    host: options.host ?? '0.0.0.0',
    port: options.port ?? 8000,
    promptModel: serving,
    modelPath: options.slmModelPath,
    admissionLimits: () => inForce?.config.limits ?? routerDefaults.limits,
    readiness: state,
    stopping: () => stopping !== undefined,
    metrics,
    tracer: options.tracer ?? noTracer,
    log,
    serving: () => {
      // The SLM may have stumbled for a moment: requests are tried nevertheless once it was up.
      if (!inForce || !watch.everReady)
        throw new ApiError('not_ready', `this router is still waiting for ${state().waitingFor.join(', ')}; try again soon`);
      return { serving, config: inForce.config };
    },
  });
  const admin = await Listening.on(
    adminApi({ registry: metrics.registry, status, readiness: state }),
    options.adminHost ?? '0.0.0.0',
    options.adminPort ?? 9090,
  );
  log.info({ url: api.url, adminUrl: admin.url }, 'router listens');

  const stop = async (): Promise<boolean> => {
    log.info({ inFlight: metrics.requestsInFlight }, 'draining: not ready any more');
    await sleep(options.drainDelayMs ?? 5_000);
    const whole = await api.close(options.drainTimeoutMs ?? 540_000);
    if (!whole) log.warn({}, 'requests were cut: they outlasted the drain timeout');
    unsubscribeConfig();
    unsubscribeEndpoints();
    watch.stop();
    loads.stop();
    await Promise.all([pool.close(), slmClient.destroy(), admin.close(1_000)]);
    log.info({}, 'router stopped');
    return whole;
  };
  return { url: api.url, adminUrl: admin.url, readiness: state, status, stop: () => (stopping ??= stop()) };
}
