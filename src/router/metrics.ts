import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { EngineLoad } from '../sglang/index.ts';
import { llmRatio } from './api/answer.ts';
import type { LlmPool } from './llm-pool.ts';
import type { LlmCallOutcome, LoopObserver } from './observer.ts';
import { RecentCounts } from './recent-counts.ts';
import { RoutingPace } from './routing-pace.ts';
import type { Scoring } from './scoring/index.ts';
import { tokenSources, type TokenSource } from './token.ts';
import { TokenWindow } from './token-window.ts';
import { WorkCounts } from './work-counts.ts';

const blockSizes = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

/** Everything the router counts: its Prometheus page and the numbers of `/r2r/status`. */
export class RouterMetrics implements LoopObserver {
  readonly registry = new Registry();
  readonly window: TokenWindow;
  readonly #registers = [this.registry];
  readonly #tokens = this.#counter('tokens_total', 'Emitted tokens by the model that supplied them.', ['source']);
  readonly #requests = this.#counter('requests_total', 'Answered requests by HTTP status; 499: the client left.', ['code']);
  readonly #blocks = this.#counter('blocks_total', 'Blocks drafted on the SLM.');
  readonly #blockTokens = this.#histogram('block_tokens', 'Tokens of a block, by what became of them.', blockSizes, ['kind']);
  readonly #llmCalls = this.#counter('llm_calls_total', 'Calls started on LLM replicas, primes included.', ['kind', 'outcome']);
  readonly #primedTokens = this.#counter('llm_primed_tokens_total', "Prompt tokens read into LLM replicas' prefix caches.");
  readonly #llmSeconds = this.#histogram(
    'llm_call_duration_seconds',
    'Time of one answered call to an LLM replica.',
    [0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30],
    ['kind'],
  );
  readonly #configErrors = this.#counter('config_errors_total', 'Configurations refused; the one before stays in force.');
  readonly #consultations = this.#counter(
    'llm_consultations_total',
    'Divergent tokens put to the LLM: asked ahead of an earlier answer, and used.',
    ['ahead', 'used'],
  );
  readonly #steps = this.#histogram(
    'step_duration_seconds',
    'Time of one step of the token loop: drafting a block, scoring it, asking the LLM.',
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5],
    ['kind'],
  );
  readonly routingPace = new RoutingPace();
  readonly work = new WorkCounts();
  readonly #recentRequests = new RecentCounts(['answered', 'failed']);
  #inFlight = 0;
  #wasted = 0;
  #started = 0;

  constructor(window = new TokenWindow()) {
    this.window = window;
    for (const source of tokenSources) this.#tokens.inc({ source }, 0);
    this.#gauge('requests_in_flight', 'Client requests being answered now.', (gauge) => gauge.set(this.#inFlight));
    this.#gauge('llm_ratio', 'Share of the tokens of the last minute that the LLM supplied.', (gauge) =>
      gauge.set(llmRatio(this.window.recent.tokens)),
    );
  }

  get requestsInFlight(): number {
    return this.#inFlight;
  }

  requestStarted(): void {
    this.#inFlight++;
  }

  /**
   * @param code HTTP status, 499 when the client left first
   * @param error HTTP status of the error that ended a stream, whose own status was out already
   */
  requestEnded(code: number, error?: number): void {
    this.#inFlight--;
    this.#requests.inc({ code });
    const outcome = error ?? code;
    if (outcome < 400) this.#recentRequests.add('answered');
    else if (outcome >= 500) this.#recentRequests.add('failed');
  }

  /** Another network is in force: what failed before is not its doing. */
  networkChanged(): void {
    this.#recentRequests.clear();
  }

  /**
   * Requests that were answered or ended with an error of ours, in the last minute and since the network in force took over; not those
   * refused, nor those of clients that left.
   */
  get recentRequests(): { readonly total: number; readonly failed: number } {
    const { answered, failed } = this.#recentRequests.sums;
    return { total: answered + failed, failed };
  }

  token(source: TokenSource, count: number): void {
    if (count === 0) return;
    this.#tokens.inc({ source }, count);
    this.window.add(source, count);
  }

  block(drafted: number, used: number): void {
    this.#blocks.inc();
    this.#blockTokens.observe({ kind: 'drafted' }, drafted);
    this.#blockTokens.observe({ kind: 'used' }, used);
  }

  llmCallStarted(kind: 'prime' | 'token', promptTokens: number): void {
    this.work.llmCallStarted(kind, promptTokens);
  }

  llmCall(kind: 'prime' | 'token', outcome: LlmCallOutcome, seconds: number, promptTokens: number): void {
    this.#llmCalls.inc({ kind, outcome });
    this.#started++;
    if (kind === 'prime') this.#primedTokens.inc(promptTokens);
    if (outcome !== 'ok') return;
    this.#llmSeconds.observe({ kind }, seconds);
    if (kind === 'token') this.work.llmCallAnswered(seconds * 1000);
  }

  consultation(ahead: boolean, used: boolean): void {
    this.#consultations.inc({ ahead: String(ahead), used: String(used) });
    if (!used) this.#wasted++;
  }

  step(kind: 'draft' | 'score' | 'consult', startedMs: number, endedMs: number, tokens: number): void {
    this.#steps.observe({ kind }, (endedMs - startedMs) / 1000);
    if (kind === 'draft') this.work.drafted(tokens, endedMs - startedMs);
  }

  pace(tokens: number, ms: number): void {
    this.routingPace.add(tokens, ms);
  }

  /** Answers of the LLM that were not used, because an earlier token turned out otherwise or the answer had ended. */
  get wastedConsultations(): number {
    return this.#wasted;
  }

  get llmCallsStarted(): number {
    return this.#started;
  }

  configRefused(): void {
    this.#configErrors.inc();
  }

  /** Publishes what the router network in force has done since it was loaded. */
  publishScoring(scoring: () => Scoring | undefined): void {
    const read = (name: string, help: string, valueOf: (stats: ReturnType<Scoring['stats']>) => number | undefined): void =>
      this.#gauge(`network_${name}`, help, (gauge) => {
        const stats = scoring()?.stats();
        const value = stats && valueOf(stats);
        gauge.reset();
        if (value !== undefined) gauge.set(value);
      });
    read('up', '1 while the router network can score.', ({ up }) => Number(up));
    read('scored_rows', 'Rows scored since the bundle was loaded.', ({ rows }) => rows);
    read('batches', 'Runs of the network since the bundle was loaded.', ({ batches }) => batches);
    read('busy_seconds', 'Time the network was busy since the bundle was loaded.', ({ runMs }) => runMs / 1000);
    read('waiting_rows', 'Rows waiting for the network.', ({ waitingRows }) => waitingRows);
    read('failures', 'Threads of the network that were lost.', ({ failures }) => failures);
    read(
      'logit_spread_max',
      'Largest spread of the candidates for the constant of the raw logits, of the last rows.',
      ({ spread }) => spread?.max,
    );
    read('logit_spread_wide_share', 'Share of the last rows whose spread is above 0.3.', ({ spread }) => spread?.share);
  }

  /** Publishes what is known of the LLM replicas: only routers may speak to them, so others learn their load here. */
  publishEndpoints(pool: LlmPool, loads: { readonly byUrl: ReadonlyMap<string, EngineLoad> }): void {
    const labelled = (name: string, help: string, valueOf: (replica: LlmPool['replicas'][number]) => number | undefined): void => {
      this.#gauge(
        `llm_endpoint_${name}`,
        help,
        (gauge) => {
          gauge.reset();
          for (const replica of pool.replicas) {
            const value = valueOf(replica);
            const { url, podUID = '' } = replica.endpoint;
            if (value !== undefined) gauge.set({ endpoint: url, pod_uid: podUID }, value);
          }
        },
        ['endpoint', 'pod_uid'],
      );
    };
    this.#gauge('llm_held_requests', 'Requests that wait for a first replica, because the pool was scaled to zero.', (gauge) =>
      gauge.set(pool.held),
    );
    this.#gauge(
      'llm_waiting_calls',
      'Calls that wait because no LLM replica takes them, although the pool is not scaled to zero.',
      (gauge) => gauge.set(pool.waitingCalls),
    );
    labelled('available', '1 when this router sends calls there.', ({ available }) => Number(available));
    labelled('draining', '1 when the operator is draining it.', ({ draining }) => Number(draining));
    labelled('in_flight', 'Calls of this router that it may be working on.', ({ engine }) => engine.inFlight);
    labelled('running_requests', 'Requests it is working on, as it says.', ({ engine }) => loads.byUrl.get(engine.url)?.runningRequests);
    labelled('queued_requests', 'Requests waiting there, as it says.', ({ engine }) => loads.byUrl.get(engine.url)?.queuedRequests);
    labelled('kv_usage', 'Share of its KV cache in use, as it says.', ({ engine }) => loads.byUrl.get(engine.url)?.tokenUsage);
  }

  #counter<L extends string = never>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> {
    return new Counter({ name: `r2r_${name}`, help, labelNames, registers: this.#registers });
  }

  #histogram<L extends string>(name: string, help: string, buckets: number[], labelNames: readonly L[]): Histogram<L> {
    return new Histogram({ name: `r2r_${name}`, help, buckets, labelNames, registers: this.#registers });
  }

  #gauge<L extends string = never>(name: string, help: string, read: (gauge: Gauge<L>) => void, labelNames: readonly L[] = []): void {
    const gauge: Gauge<L> = new Gauge({ name: `r2r_${name}`, help, labelNames, registers: this.#registers, collect: () => read(gauge) });
  }
}
