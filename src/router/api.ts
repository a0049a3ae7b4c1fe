import { randomUUID } from 'node:crypto';
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Response } from 'express';
import { routerDefaults } from '../api/router-config.ts';
import { answerHandler, type AnsweringOptions } from './api/answering.ts';
import { requireApiKey, type ApiKeys } from './api/api-keys.ts';
import { ApiError } from './errors.ts';
import type { Log } from './log.ts';
import type { Readiness } from './readiness.ts';

export interface ApiOptions extends AnsweringOptions {
  readonly readiness: () => Readiness;
  /** Clients shall open their next connection elsewhere. */
  readonly stopping: () => boolean;
  readonly log: Log;
  /** Left out: everybody is served. */
  readonly keys?: ApiKeys;
}

const acceptedId = /^[\w.:-]{1,128}$/;
const routes = { chat: '/v1/chat/completions', completions: '/v1/completions', generate: '/generate' } as const;

/** The HTTP API for clients: OpenAI's routes that we have, upstream's `/generate`, health and readiness. */
export function clientApi(options: ApiOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use((request, response, next) => {
    const id = request.get('x-request-id') ?? '';
    if (options.stopping()) response.setHeader('connection', 'close');
    response.setHeader('x-request-id', acceptedId.test(id) ? id : randomUUID());
    next();
  });
  app.use(probeRoutes(options.readiness));

  const guard: readonly RequestHandler[] = options.keys ? [requireApiKey(options.keys)] : [];
  const room: RequestHandler = (_, __, next) => {
    options.admission.assertRoom();
    next();
  };
  const body = bodyReader(() => limitsOf(options).maxBodyBytes);
  for (const route of ['chat', 'completions', 'generate'] as const)
    app
      .route(routes[route])
      .post(countRequests(options), ...guard, room, body, answerHandler(route, options))
      .all(only('POST'));
  const model = (): object => {
    const { config, serving } = options.serving();
    return { id: config.modelName, object: 'model', created: 0, owned_by: 'r2r', max_model_len: serving.contextLength() };
  };
  app
    .route('/v1/models')
    .get(...guard, (_, response) => void response.json({ object: 'list', data: [model()] }))
    .all(only('GET'));
  app
    .route('/v1/models/*id')
    .get(...guard, (request, response) => {
      const wanted = [request.params.id].flat().join('/');
      const { modelName } = options.serving().config;
      if (wanted !== modelName)
        throw new ApiError('model_not_found', `the model "${wanted}" does not exist; this router serves "${modelName}"`, {
          param: 'model',
        });
      response.json(model());
    })
    .all(only('GET'));
  app.use((request) => {
    throw new ApiError('not_found', `there is no ${request.path}; see /v1/models and ${routes.chat}`);
  });
  app.use(errorAnswers(options.log));
  return app;
}

/** `/health`: the process lives. `/ready`: requests can be answered; else 503 and why not. */
export function probeRoutes(readiness: () => Readiness): express.Router {
  const routes = express.Router();
  routes.get('/health', (_, response) => void response.json({ status: 'ok' }));
  routes.get('/ready', (_, response) => {
    const state = readiness();
    response.status(state.ready ? 200 : 503).json(state);
  });
  return routes;
}

/** The limits in force; until there is a configuration, the defaults. */
function limitsOf({ serving }: Pick<AnsweringOptions, 'serving'>): { readonly maxBodyBytes: number } {
  try {
    return serving().config.limits;
  } catch {
    return routerDefaults.limits;
  }
}

/** Reads a body up to the limit in force. */
function bodyReader(limit: () => number): RequestHandler {
  let reader: { readonly limit: number; readonly read: RequestHandler } | undefined;
  return (request, response, next) => {
    const now = limit();
    if (reader?.limit !== now) reader = { limit: now, read: express.raw({ limit: now, type: () => true }) };
    void reader.read(request, response, (error?: unknown) => {
      // Without a body there is nothing to read.
      if (!(request.body instanceof Uint8Array)) request.body = new Uint8Array();
      next(error);
    });
  };
}

/** Counts a request from its arrival until its last byte is out or the client has gone. */
function countRequests({ metrics }: ApiOptions): RequestHandler {
  return (_, response, next) => {
    metrics.requestStarted();
    response.locals['arrivedMs'] = performance.now();
    response.once('close', () => {
      const { streamError } = response.locals as { readonly streamError?: number };
      metrics.requestEnded(response.writableFinished ? response.statusCode : 499, streamError);
    });
    next();
  };
}

function only(method: string): RequestHandler {
  return (request, response) => {
    response.setHeader('allow', method);
    throw new ApiError('method_not_allowed', `${request.path} takes ${method}, not ${request.method}`);
  };
}

/** Turns whatever was thrown into an answer in OpenAI's shape; in a stream that has begun, into its last event. */
function errorAnswers(log: Log): ErrorRequestHandler {
  return (error: unknown, request, response: Response, _next) => {
    if (response.destroyed || response.writableEnded) return;
    const failure = apiErrorOf(error, request.path);
    const requestId = response.getHeader('x-request-id')?.toString();
    if (failure.status >= 500) log.error({ requestId, path: request.path, code: failure.code, err: error }, 'request failed');
    if (response.headersSent) {
      response.locals['streamError'] = failure.status;
      response.end(`data: ${JSON.stringify(failure.toBody(requestId))}\n\n`);
      return;
    }
    if (failure.retryAfterSeconds !== undefined) response.setHeader('retry-after', failure.retryAfterSeconds.toString());
    response.status(failure.status).json(failure.toBody(requestId));
  };
}

function apiErrorOf(error: unknown, path: string): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof URIError)
    return new ApiError('not_found', `there is no ${path}: its % escapes are not UTF-8; see /v1/models`, { cause: error });
  const type = typeof error === 'object' && error !== null && 'type' in error ? error.type : undefined;
  if (type === 'entity.too.large') return new ApiError('request_too_large', 'the request body is too large', { cause: error });
  const status = typeof error === 'object' && error !== null && 'status' in error ? error.status : undefined;
  if (typeof status === 'number' && status >= 400 && status < 500)
    return new ApiError('invalid_json', `the request body cannot be read: ${error instanceof Error ? error.message : ''}`, {
      cause: error,
    });
  return new ApiError('internal_error', 'something went wrong in the router; its log has the details under this request id', {
    cause: error,
  });
}
