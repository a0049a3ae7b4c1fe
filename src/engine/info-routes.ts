import type { EngineContext } from './engine-context.ts';
import { newRequestId, planGenerate } from './generate-request.ts';
import { HttpError } from './http-error.ts';
import type { HttpExchange } from './http-exchange.ts';
import { isObject } from './json-object.ts';
import { embeddingPlan, serverInfo, sglangVersion } from './server-info.ts';

type Route = (context: EngineContext, exchange: HttpExchange) => Promise<void> | void;

const healthPollMs = 1000;
const healthTimeoutMs = 20_000;

function modelCard({ options, startedAt }: EngineContext): Record<string, unknown> {
  const { servedModelName: name, contextLength } = options;
  return {
    id: name,
    object: 'model',
    created: Math.floor(startedAt / 1000),
    owned_by: 'sglang',
    root: name,
    parent: null,
    max_model_len: contextLength,
  };
}

export const modelInfo: Route = ({ options, modelFamily }, exchange) =>
  exchange.sendJson({
    model_path: options.modelPath,
    served_model_name: options.servedModelName,
    tokenizer_path: options.modelPath,
    is_generation: true,
    preferred_sampling_params: null,
    weight_version: 'default',
    load_format: 'auto',
    reasoning_parser: null,
    tool_call_parser: null,
    disaggregation_mode: 'null',
    has_image_understanding: false,
    has_audio_understanding: false,
    model_type: modelFamily.modelType,
    architectures: modelFamily.architectures,
    embedding: embeddingPlan,
  });

export const serverInformation: Route = (context, exchange) => exchange.sendJson(serverInfo(context));

/** Readiness: whether new requests are welcome. */
export const ready: Route = ({ draining }, exchange) => exchange.sendText('', draining() ? 503 : 200);

/** Liveness that costs nothing. */
export const ping: Route = (_context, exchange) => exchange.sendText('');

/** Liveness by a computed token, or by any other that came meanwhile; it takes a second, as SGLang's does. */
export const healthGenerate: Route = async (context, exchange) => {
  if (context.draining()) {
    exchange.sendText('', 503);
    return;
  }
  const started = performance.now();
  const rid = `HEALTH_CHECK_${newRequestId()}`;
  const { sequences } = planGenerate(
    { rid, input_ids: [0], sampling_params: { max_new_tokens: 1, temperature: 0 } },
    context.tokenizer,
    context.limits,
  );
  // a failure shows below: no report comes
  context.generations.run(sequences, exchange.receivedAt, exchange.gone, () => undefined).catch(() => undefined);
  while (performance.now() - started < healthTimeoutMs && !exchange.gone.aborted) {
    await new Promise((resolve) => setTimeout(resolve, healthPollMs));
    if (context.client.lastReportAt <= started) continue;
    exchange.sendText('');
    return;
  }
  exchange.sendText('', 503);
};

export const health: Route = (context, exchange) => {
  if (context.options.healthGeneration) return healthGenerate(context, exchange);
  exchange.sendText('', context.draining() ? 503 : 200);
};

export const models: Route = (context, exchange) => exchange.sendJson({ object: 'list', data: [modelCard(context)] });

/** Text of a path; what is not percent-encoded rightly stays as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const oneModel: Route = (context, exchange) => {
  const name = decoded(exchange.path.slice('/v1/models/'.length));
  if (name === context.options.servedModelName) {
    exchange.sendJson(modelCard(context));
    return;
  }
  const message = `The model '${name}' does not exist`;
  throw HttpError.withBody(404, message, { error: { message, type: 'invalid_request_error', param: 'model', code: 'model_not_found' } });
};

export const flushCache: Route = async ({ client }, exchange) => {
  const done = await client.flush();
  exchange.sendText(
    done
      ? 'Cache flushed.\nPlease check backend logs for more details. (When there are running or waiting requests, the operation will not be performed.)\n'
      : 'Flush cache failed.\n',
    done ? 200 : 400,
  );
};

export const abortRequest: Route = async ({ client }, exchange) => {
  const body = await exchange.json();
  if (!isObject(body)) throw HttpError.invalidBody('body: Input should be a valid dictionary');
  const { rid, abort_all: all } = body;
  if (rid !== undefined && typeof rid !== 'string') throw HttpError.invalidBody('body.rid: Input should be a valid string');
  if (all === true) client.abortAll();
  else if (rid !== undefined) client.abort(rid);
  exchange.sendText('');
};

export const tokenize: Route = async ({ tokenizer, options }, exchange) => {
  const body = await exchange.json();
  const prompt = isObject(body) ? body['prompt'] : undefined;
  if (typeof prompt !== 'string') throw HttpError.invalidBody('body.prompt: Input should be a valid string');
  const tokens = tokenizer.encode(prompt, { addSpecialTokens: isObject(body) && body['add_special_tokens'] !== false });
  exchange.sendJson({ tokens, count: tokens.length, max_model_len: options.contextLength });
};

export const detokenize: Route = async ({ tokenizer }, exchange) => {
  const body = await exchange.json();
  const tokens = isObject(body) ? body['tokens'] : undefined;
  if (!Array.isArray(tokens) || !tokens.every(Number.isInteger))
    throw HttpError.invalidBody('body.tokens: Input should be a valid list of integers');
  exchange.sendJson({
    text: tokenizer.decode(tokens as number[], { keepSpecialTokens: isObject(body) && body['skip_special_tokens'] === false }),
  });
};

/** How busy the engine is. */
export const loads: Route = ({ client, options }, exchange) => {
  const { state, facts } = client;
  const now = Date.now();
  exchange.sendJson({
    timestamp: new Date(now).toISOString(),
    version: sglangVersion,
    accelerator: null,
    num_accelerators: 1,
    loads: [
      {
        timestamp: now / 1000,
        dp_rank: 0,
        num_running_reqs: state.running,
        num_waiting_reqs: state.waiting,
        num_waiting_uncached_tokens: state.waitingTokens,
        num_used_tokens: state.usedTokens,
        num_total_tokens: state.usedTokens + state.waitingTokens,
        num_active_tokens: state.usedTokens + state.waitingTokens,
        num_prealloc_ready_tokens: 0,
        max_total_num_tokens: facts.poolTokens,
        max_running_requests: options.maxRunningRequests,
        token_usage: state.usedTokens / facts.poolTokens,
        gen_throughput: state.generationRate,
        cache_hit_rate: state.cacheHitRate,
        utilization: state.running / options.maxRunningRequests,
        total_prefill_uncached_tokens: state.prefilledTokens,
        total_prefill_busy_us: Math.round(state.prefillMs * 1000),
        decode_moments: (state.decodeMoments[0] ?? 0) > 0 ? state.decodeMoments : null,
        memory: {
          weight_gb: facts.weightBytes / 2 ** 30,
          kv_cache_gb: facts.poolBytes / 2 ** 30,
          graph_gb: 0,
          token_capacity: facts.poolTokens,
        },
        disaggregation: {
          mode: 'null',
          prefill_bootstrap_queue_reqs: 0,
          prefill_inflight_queue_reqs: 0,
          decode_prealloc_queue_reqs: 0,
          decode_transfer_queue_reqs: 0,
          decode_retracted_queue_reqs: 0,
          kv_transfer_speed_gb_s: 0,
          kv_transfer_latency_ms: 0,
        },
        queues: { waiting: state.waiting, grammar: 0, paused: 0, retracted: 0, prealloc_ready: 0 },
      },
    ],
  });
};

export const metrics: Route = async (context, exchange) => {
  exchange.sendText(await context.metrics.registry.metrics(), 200, 'text/plain; version=0.0.4; charset=utf-8');
};
