import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { EngineClient } from './engine-client.ts';
import type { Generation } from './generation.ts';
import type { ResolvedOptions } from './options.ts';

const requestBuckets = [0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400];
const tokenBuckets = [
  0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8,
];

/** The metrics of SGLang 0.5.23 that this engine can tell truly, under SGLang's names and labels. */
export class EngineMetrics {
  readonly registry = new Registry();
  readonly #model: Readonly<Record<string, string>>;
  readonly #active: Gauge;
  readonly #requests: Counter;
  readonly #responses: Counter;
  readonly #promptTokens: Counter;
  readonly #generatedTokens: Counter;
  readonly #cachedTokens: Counter;
  readonly #finished: Counter;
  readonly #aborted: Counter;
  readonly #firstToken: Histogram;
  readonly #whole: Histogram;
  readonly #perToken: Histogram;
  readonly #queued: Histogram;

  constructor(client: EngineClient, options: ResolvedOptions) {
    this.#model = { model_name: options.servedModelName, engine_type: 'unified' };
    const counter = (name: string, help: string, labelNames: string[]) =>
      new Counter({ name: `sglang:${name}`, help, labelNames, registers: [this.registry] });
    const histogram = (name: string, help: string, buckets: number[], labelNames: string[]) =>
      new Histogram({ name: `sglang:${name}`, help, buckets, labelNames, registers: [this.registry] });
    const model = ['model_name', 'engine_type'];
    const streaming = [...model, 'is_streaming'];
    const http = ['endpoint', 'method'];
    this.#active = new Gauge({
      name: 'sglang:http_requests_active',
      help: 'HTTP requests being answered',
      labelNames: http,
      registers: [this.registry],
    });
    this.#requests = counter('http_requests_total', 'HTTP requests', http);
    this.#responses = counter('http_responses_total', 'HTTP answers by status', [...http, 'status_code']);
    this.#promptTokens = counter('prompt_tokens_total', 'Prompt tokens of finished requests', streaming);
    this.#generatedTokens = counter('generation_tokens_total', 'Generated tokens of finished requests', streaming);
    this.#cachedTokens = counter('cached_tokens_total', 'Prompt tokens found in the prefix cache', [...model, 'cache_source']);
    this.#finished = counter('num_requests_total', 'Finished requests', streaming);
    this.#aborted = counter('num_aborted_requests_total', 'Aborted requests', model);
    this.#firstToken = histogram('time_to_first_token_seconds', 'Time to the first token', requestBuckets, streaming);
    this.#whole = histogram(
      'e2e_request_latency_seconds',
      'Time to the whole answer',
      [...requestBuckets, 600, 1200, 1800, 2400],
      streaming,
    );
    this.#perToken = histogram('inter_token_latency_seconds', 'Mean time between the tokens of a request', tokenBuckets, model);
    this.#queued = histogram(
      'queue_time_seconds',
      'Time between arrival and first computation',
      [0, ...requestBuckets],
      [...model, 'tp_rank', 'pp_rank', 'moe_ep_rank'],
    );
    this.#gauges(client, options);
  }

  /** Gauges are read from the scheduler when they are scraped. */
  #gauges(client: EngineClient, options: ResolvedOptions): void {
    const labels = { ...this.#model, tp_rank: '0', pp_rank: '0', moe_ep_rank: '0' };
    const { facts } = client;
    const gauges: readonly (readonly [name: string, help: string, read: () => number])[] = [
      ['max_total_num_tokens', 'Tokens the key-value pool holds', () => facts.poolTokens],
      ['context_len', 'Longest prompt and answer together', () => options.contextLength],
      ['page_size', 'Tokens of a page of the prefix cache', () => 1],
      ['weight_memory_usage_gb', 'Stored size of the weights in GiB', () => facts.weightBytes / 2 ** 30],
      ['kv_cache_memory_usage_gb', 'Size of the key-value pool in GiB', () => facts.poolBytes / 2 ** 30],
      ['num_running_reqs', 'Requests being computed', () => client.state.running],
      ['num_queue_reqs', 'Requests waiting', () => client.state.waiting],
      ['num_used_tokens', 'Pool tokens in use by requests', () => client.state.usedTokens],
      ['kv_used_tokens', 'Pool tokens in use by requests', () => client.state.usedTokens],
      ['kv_evictable_tokens', 'Pool tokens that only the prefix cache holds', () => client.state.evictableTokens],
      ['kv_available_tokens', 'Pool tokens that are free', () => facts.poolTokens - client.state.usedTokens - client.state.evictableTokens],
      ['token_usage', 'Share of the pool in use by requests', () => client.state.usedTokens / facts.poolTokens],
      ['cache_hit_rate', 'Cached share of the prompt tokens last computed', () => client.state.cacheHitRate],
      ['gen_throughput', 'Tokens generated a second', () => client.state.generationRate],
    ];
    for (const [name, help, read] of gauges) {
      new Gauge({
        name: `sglang:${name}`,
        help,
        labelNames: Object.keys(labels),
        registers: [this.registry],
        collect() {
          this.set(labels, read());
        },
      });
    }
  }

  /** Counts an HTTP request; the function returned counts its answer. There must be few `endpoint`s: each is kept for ever. */
  httpStarted(endpoint: string, method: string): (status: number) => void {
    this.#active.inc({ endpoint, method });
    this.#requests.inc({ endpoint, method });
    return (status) => {
      this.#active.dec({ endpoint, method });
      this.#responses.inc({ endpoint, method, status_code: String(status) });
    };
  }

  finished(generation: Generation): void {
    const { plan, finish, cachedTokens, ids, times, receivedAt, firstTokenAt, finishedAt } = generation;
    const streaming = { ...this.#model, is_streaming: String(plan.request.stream) };
    if (finish?.type === 'abort') this.#aborted.inc(this.#model);
    if (!times || times.started === 0) return;
    this.#finished.inc(streaming);
    this.#promptTokens.inc(streaming, plan.request.promptIds.length);
    this.#generatedTokens.inc(streaming, ids.length);
    this.#cachedTokens.inc({ ...this.#model, cache_source: 'device' }, cachedTokens);
    this.#firstToken.observe(streaming, (firstTokenAt - receivedAt) / 1000);
    this.#whole.observe(streaming, (finishedAt - receivedAt) / 1000);
    if (ids.length > 1) this.#perToken.observe(this.#model, (finishedAt - firstTokenAt) / 1000 / (ids.length - 1));
    this.#queued.observe({ ...this.#model, tp_rank: '0', pp_rank: '0', moe_ep_rank: '0' }, (times.started - times.queued) / 1000);
  }
}
