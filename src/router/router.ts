import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { routerDefaults, type RouterConfig } from '../api/router-config.ts';
import type { RouterStatus } from '../api/router-status.ts';
import { loadTokenizer } from '../model/tokenizer-folder.ts';
import { Decoder, SglangClient, type EngineLoad } from '../sglang/index.ts';
import { adminApi } from './admin.ts';
import { alarms } from './alarms.ts';
import { llmRatio } from './api/answer.ts';
import { startApiServer, type ApiServerOptions } from './api/api-server.ts';
import { EngineLoadWatch, toldLoad, type ToldLoad } from './engine-load-watch.ts';
import { ApiError } from './errors.ts';
import type { Serving } from './generation.ts';
import { Listening } from './listening.ts';
import { LiveRouting, type LoadNetwork } from './live-routing.ts';
import { benchmarkLlm } from './llm-benchmark.ts';
import { LlmLoads } from './llm-loads.ts';
import { LlmPool } from './llm-pool.ts';
import type { LlmEndpoint } from './llm-replica.ts';
import { LlmPace } from './llm-pace.ts';
import type { Log } from './log.ts';
import { RouterMetrics } from './metrics.ts';
import { publishState } from './state-metrics.ts';
import { readModelFacts } from './model-folder.ts';
import type { Network } from './network-in-force.ts';
import { promptModel } from './prompt.ts';
import { readiness, type Readiness } from './readiness.ts';
import { probe } from './probe.ts';
import { routingOf } from './routing.ts';
import { Slm } from './slm.ts';
import { SlmWatch, type SlmNeeds } from './slm-watch.ts';
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
  /** How router networks are had. @default there are none: a configuration with a checkpoint is refused */
  readonly loadNetwork?: LoadNetwork;
  /** Tells whether what lies at a network's address has changed. @default nothing tells, and no network is loaded a second time */
  readonly networkFingerprint?: (uri: string) => Promise<string | undefined>;
  /** How often the LLM's decode step is timed, to tell whether routing pays; 0: never. @default 300_000 */
  readonly timeLlmEveryMs?: number;
  /** API keys, TLS and how long clients may take to send. */
  readonly client?: Pick<ApiServerOptions, 'apiKeysPath' | 'tls' | 'timeouts' | 'warm'>;
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
  // Started now, or the first large answer would wait for its thread.
  const decoder = new Decoder();
  decoder.start();
  const slmClient = new SglangClient({ url: options.slmUrl, vocabSize: slmFacts.vocabSize, decoder });
  const slm = new Slm({ engine: slmClient, validIds, endIds: [...endIds] });
  const watch = new SlmWatch(slmClient, log, () => slmNeeds(live));
  const pool = new LlmPool({
    connect: ({ url }) => new SglangClient({ url, vocabSize: llmFacts.vocabSize, decoder }),
    validIds,
    observer: metrics,
    log,
  });
  const loads = new LlmLoads(pool, options.loadEveryMs ?? 5_000);
  const slmLoad = new EngineLoadWatch(slmClient, options.loadEveryMs ?? 5_000);
  const instance = randomUUID();
  metrics.publishEndpoints(pool, loads);
  const pace = new LlmPace(pool, options.timeLlmEveryMs);
  const common = {
    ...promptModel(slmTokenizer),
    endIds,
    validIds,
    slm,
    pool,
    observer: metrics,
    contextLength: () => Math.min(watch.contextLength ?? slmFacts.maxPositions, pool.contextLength ?? llmFacts.maxPositions),
  };

  let endpoints: readonly LlmEndpoint[] = [];
  const updatePool = (): void => pool.update(endpoints, live.current?.config.drainingPodUIDs ?? [], live.current?.config.llmScaledToZero);
  let network: Network | undefined;
  const live = new LiveRouting({
    load: options.loadNetwork ?? noNetworks,
    ...(options.networkFingerprint && { fingerprint: options.networkFingerprint }),
    log,
    onRefused: () => metrics.configRefused(),
    onChange: () => {
      if (live.current?.network !== network) metrics.networkChanged();
      network = live.current?.network;
      updatePool();
      watch.look();
    },
  });
  metrics.publishScoring(() => live.scoring);
  const unsubscribeConfig = options.config.subscribe((text) => live.take(text));
  const unsubscribeEndpoints = options.endpoints.subscribe((list) => {
    if (JSON.stringify(list) !== JSON.stringify(endpoints)) log.info({ endpoints: list }, 'LLM endpoints');
    endpoints = list;
    updatePool();
  });

  let stopping: Promise<boolean> | undefined;
  let access = (): string | undefined => undefined;
  const state = (): Readiness =>
    readiness({
      stopping: stopping !== undefined,
      config: live.current?.config,
      network: live.waitingFor,
      access: access(),
      slmReady: watch.ready,
      slmProblem: watch.problem,
      llmAvailable: pool.available,
      llmEverAvailable: pool.everAvailable,
      llmProblem: pool.problem,
      upMs: now() - startedAt,
    });
  const servingNow = (): { readonly serving: Serving; readonly config: RouterConfig } => {
    const { current } = live;
    // The SLM may have stumbled for a moment: requests are tried nevertheless once it was up, unless it came back as another one.
    if (!current || !watch.everReady || watch.problem !== undefined)
      throw new ApiError('not_ready', `this router is still waiting for ${state().waitingFor.join(', ')}; try again soon`);
    const { config, network } = current;
    return { serving: { ...common, loaded: network.loaded, scorerFor: (signals) => network.scorerFor(signals) }, config };
  };
  const status = (): RouterStatus => ({
    instance,
    configDigest: live.digest,
    ...routingStatus(live),
    alarms: [
      ...alarms({
        routedMs: metrics.routingPace.msPerToken,
        llmStepMs: pace.stepMs,
        llmRatio: llmRatio(metrics.window.recent.tokens),
        spread: live.scoring?.stats().spread,
      }),
    ],
    waitingFor: [...state().waitingFor],
    slmReady: watch.ready,
    llmCalls: { started: metrics.llmCallsStarted, wasted: metrics.wastedConsultations },
    inFlight: metrics.requestsInFlight,
    tokensTotal: metrics.window.total,
    window: { ...metrics.window.recent, requests: metrics.recentRequests },
    work: {
      llm: { ...metrics.work.llm, waitingRequests: pool.held },
      slm: { ...metrics.work.slm, queuedRequests: api.queuedRequests, ...(slmLoad.load && { load: toldLoad(slmLoad.load) }) },
    },
    parameters: {
      ...(slmFacts.parameters !== undefined && { slm: slmFacts.parameters }),
      ...(llmFacts.parameters !== undefined && { llm: llmFacts.parameters }),
      ...(live.scoring && { router: live.scoring.manifest.parameters }),
    },
    llmEndpoints: pool.replicas.map(({ endpoint, engine, draining, available, problem }) => ({
      ...(endpoint.podUID !== undefined && { podUID: endpoint.podUID }),
      address: endpoint.url,
      ready: available,
      draining,
      inFlight: engine.inFlight,
      ...toldLoadOf(loads.byUrl.get(engine.url)),
      ...(problem !== undefined && { problem }),
    })),
  });

  const api = await startApiServer({
    ...options.client,
    host: options.host ?? '0.0.0.0',
    port: options.port ?? 8000,
    promptModel: common,
    modelPath: options.slmModelPath,
    admissionLimits: () => live.current?.config.limits ?? routerDefaults.limits,
    readiness: state,
    stopping: () => stopping !== undefined,
    metrics,
    tracer: options.tracer ?? noTracer,
    log,
    serving: servingNow,
  });
  access = () => api.waitingFor;
  publishState(metrics.registry, () => ({ ready: state().ready, alarms: status().alarms, threshold: routingStatus(live).threshold }));
  const admin = await Listening.on(
    adminApi({
      registry: metrics.registry,
      status,
      readiness: state,
      probe: async (viaLLM, signal) => {
        try {
          const { serving, config } = servingNow();
          return await probe(serving, config, viaLLM, signal);
        } catch (error) {
          return { ok: false, message: error instanceof Error ? error.message : String(error) };
        }
      },
      benchmark: (request, signal) => benchmarkLlm({ pool, validIds, busy: () => metrics.requestsInFlight > 0 }, request, signal),
    }),
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
    slmLoad.stop();
    pace.stop();
    await Promise.all([live.close(), pool.close(), slmClient.destroy(), admin.close(1_000)]);
    await decoder.close();
    log.info({}, 'router stopped');
    return whole;
  };
  return { url: api.url, adminUrl: admin.url, readiness: state, status, stop: () => (stopping ??= stop()) };
}

/** Strategy, threshold and network as they decide for a request without wishes of its own. */
function routingStatus(live: LiveRouting): Pick<RouterStatus, 'strategy' | 'threshold' | 'lookahead' | 'bundle'> {
  const { current, bundle } = live;
  if (!current) return { strategy: '', ...(bundle && { bundle }) };
  const { config, network } = current;
  const { name, threshold } = routingOf({}, config, network.loaded);
  return { strategy: name, ...(threshold !== undefined && { threshold }), lookahead: config.lookahead, ...(bundle && { bundle }) };
}

/** What a request without wishes of its own makes the router ask of the SLM's server. */
function slmNeeds({ current, scoring }: LiveRouting): SlmNeeds {
  if (!current) return { hiddenStates: false, topLogprobs: 0 };
  const { config, network } = current;
  const { hiddenStates, topLogprobs } = network.scorerFor(routingOf({}, config, network.loaded).signals);
  return { hiddenStates, topLogprobs, hiddenSize: scoring?.manifest.hiddenSize };
}

function toldLoadOf(load: EngineLoad | undefined): { readonly load?: ToldLoad } {
  return load ? { load: toldLoad(load) } : {};
}

const noNetworks: LoadNetwork = () => Promise.reject(new Error('this router was started without a way to load router networks'));
