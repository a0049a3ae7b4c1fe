import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';
import { loadModelConfig } from '../model/model-config.ts';
import { readOptionalJson } from '../model/model-file.ts';
import { loadTokenizer } from '../model/tokenizer-folder.ts';
import { chatCompletions } from './chat-route.ts';
import { completions } from './completions-route.ts';
import { EngineClient, type EngineDeathError } from './engine-client.ts';
import type { EngineContext } from './engine-context.ts';
import { generate } from './generate-route.ts';
import { GenerationService } from './generation.ts';
import { HttpError } from './http-error.ts';
import { HttpExchange, sendError } from './http-exchange.ts';
import * as info from './info-routes.ts';
import { EngineMetrics } from './metrics.ts';
import { resolveOptions, type EngineOptions, type ResolvedOptions } from './options.ts';

/** An engine that answers requests. */
export interface RunningEngine {
  /** Where it listens, e.g. `http://127.0.0.1:30000`. */
  readonly url: string;
  readonly options: ResolvedOptions;
  /** Not ready any more from now on; resolves when no request is left. Requests that still come are answered. */
  drain(): Promise<void>;
  /** Ends at once; open connections are cut. */
  close(): Promise<void>;
}

type Handler = (context: EngineContext, exchange: HttpExchange) => Promise<void> | void;

/** Handlers by method. */
type Route = Readonly<Record<string, Handler>>;
/** Writes one line of the log. */
type Log = (fields: Readonly<Record<string, unknown>>) => void;

const routes: Readonly<Record<string, Route>> = {
  '/generate': { POST: generate, PUT: generate },
  '/abort_request': { POST: info.abortRequest },
  '/flush_cache': { GET: info.flushCache, POST: info.flushCache },
  '/model_info': { GET: info.modelInfo },
  '/get_model_info': { GET: info.modelInfo },
  '/server_info': { GET: info.serverInformation },
  '/get_server_info': { GET: info.serverInformation },
  '/ready': { GET: info.ready },
  '/health': { GET: info.health },
  '/health_generate': { GET: info.healthGenerate },
  '/ping': { GET: info.ping },
  '/tokenize': { POST: info.tokenize },
  '/v1/tokenize': { POST: info.tokenize },
  '/detokenize': { POST: info.detokenize },
  '/v1/detokenize': { POST: info.detokenize },
  '/v1/loads': { GET: info.loads },
  '/v1/models': { GET: info.models },
  '/v1/chat/completions': { POST: chatCompletions },
  '/v1/completions': { POST: completions },
};

const generationConfig = z.looseObject({
  temperature: z.number().nullish(),
  top_p: z.number().nullish(),
  top_k: z.number().nullish(),
  min_p: z.number().nullish(),
  repetition_penalty: z.number().nullish(),
});
const samplingKeys = ['temperature', 'top_p', 'top_k', 'min_p', 'repetition_penalty'] as const;
/** SGLang's socket time-out; clients must give up idle connections sooner. */
const keepAliveMs = 5000;
const drainPollMs = 20;

async function samplingDefaults(modelPath: string): Promise<Record<string, number>> {
  const config = (await readOptionalJson(modelPath, 'generation_config.json', generationConfig)) ?? {};
  return Object.fromEntries(samplingKeys.flatMap((key) => (typeof config[key] === 'number' ? [[key, config[key]]] : [])));
}

/** The handlers of a path, and its name among metrics: paths that do not exist share one, because anybody can make up any number of them. */
function findRoute(context: EngineContext, path: string): { readonly endpoint: string; readonly handlers?: Route } {
  if (path === '/metrics' && context.options.metrics) return { endpoint: path, handlers: { GET: info.metrics } };
  if (path.startsWith('/v1/models/')) return { endpoint: '/v1/models/{model}', handlers: { GET: info.oneModel } };
  const handlers = Object.hasOwn(routes, path) ? routes[path] : undefined;
  return handlers ? { endpoint: path, handlers } : { endpoint: 'other' };
}

/** Answers one request. Never throws: whatever a request does, the engine and the other requests go on. */
async function handle(context: EngineContext, request: IncomingMessage, response: ServerResponse, log: Log): Promise<void> {
  try {
    const exchange = new HttpExchange(request, response);
    const { endpoint, handlers } = findRoute(context, exchange.path);
    const answered = context.metrics.httpStarted(endpoint, exchange.method);
    response.on('close', () => answered(response.statusCode));
    if (!handlers) throw HttpError.framework(404, 'Not Found');
    const handler = handlers[exchange.method];
    if (!handler) throw HttpError.framework(405, 'Method Not Allowed');
    await handler(context, exchange);
  } catch (error) {
    const expected = error instanceof HttpError;
    if (!expected) {
      const { method, url } = request;
      log({
        level: 'error',
        message: 'request failed',
        method,
        url,
        error: error instanceof Error ? (error.stack ?? error.message) : error,
      });
    }
    sendError(response, expected ? error : HttpError.internal());
  }
}

/**
 * Loads a model and serves SGLang's HTTP API for it. Rejects with `ModelError` or `EngineStartError` when the model cannot be used, and with
 * the system's error when the port cannot be had. `onDeath` is called when the thread that computes has ended: the engine answers nothing
 * any more. A request that fails for a reason of ours is answered 500 and logged, by default on stderr.
 */
export async function startEngine(
  given: EngineOptions,
  onDeath: (error: EngineDeathError) => void,
  log: Log = (fields) => console.error(JSON.stringify(fields)),
): Promise<RunningEngine> {
  const options = await resolveOptions(given);
  const [config, tokenizer, defaults] = await Promise.all([
    loadModelConfig(options.modelPath),
    loadTokenizer(options.modelPath),
    samplingDefaults(options.modelPath),
  ]);
  const client = await EngineClient.start(
    {
      modelPath: options.modelPath,
      poolTokens: options.maxTotalTokens,
      maxRunning: options.maxRunningRequests,
      maxPrefillTokens: options.maxPrefillTokens,
      chunkedPrefillSize: options.chunkedPrefillSize,
      threads: options.threads,
      dtype: options.dtype,
      emulation: options.emulation,
    },
    onDeath,
  );
  let draining = false;
  const maxRequestLength = Math.min(options.contextLength, options.maxTotalTokens) - 1;
  const context: EngineContext = {
    options,
    tokenizer,
    limits: {
      vocabSize: config.vocabSize,
      contextLength: options.contextLength,
      maxRequestLength,
      hiddenStates: options.returnHiddenStates,
    },
    client,
    generations: new GenerationService(client, tokenizer),
    metrics: new EngineMetrics(client, options),
    timings: options.metrics,
    samplingDefaults: defaults,
    modelFamily: { modelType: config.modelType, architectures: [config.architecture] },
    startedAt: Date.now(),
    draining: () => draining,
  };
  const server = createServer((request, response) => {
    void handle(context, request, response, log);
  });
  server.keepAliveTimeout = keepAliveMs;
  let open = 0;
  server.on('request', (_request, response: ServerResponse) => {
    open++;
    response.on('close', () => open--);
  });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.port, options.host, () => resolve());
    });
  } catch (error) {
    await client.close();
    throw error;
  }
  const { port } = server.address() as AddressInfo;
  const host = options.host.includes(':') ? `[${options.host}]` : options.host;
  return {
    url: `http://${host}:${port}`,
    options: { ...options, port },
    async drain() {
      draining = true;
      while (client.live > 0 || open > 0) await new Promise((resolve) => setTimeout(resolve, drainPollMs));
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      await client.close();
    },
  };
}
