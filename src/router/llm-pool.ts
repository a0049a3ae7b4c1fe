import { EngineError, type GenerateCall, type GeneratedToken } from '../sglang/index.ts';
import { backoffMs, idOf, LlmReplica, type LlmEndpoint, type LlmEngine, type LlmReplicaOptions } from './llm-replica.ts';
import { News } from './news.ts';
import type { LoopObserver } from './observer.ts';
import { rendezvous } from './rendezvous.ts';

export interface LlmPoolOptions extends LlmReplicaOptions {
  readonly observer: LoopObserver;
}

/** After so long, whoever waits for a pool at zero looks again. */
const longestHoldMs = 3_600_000;

/** How long to insist on an LLM answer. */
export interface Insistence {
  readonly timeoutMs: number;
  readonly forever: boolean;
  /** Nobody wants the answer any more: no further try. A call on the wire may finish. */
  readonly abandoned?: AbortSignal;
}

export interface ReplicaView {
  readonly endpoint: LlmEndpoint;
  readonly engine: LlmEngine;
  readonly draining: boolean;
  /** Takes calls now: ready, not draining, and answering. */
  readonly available: boolean;
  /** Why it takes no calls although it answers: it was started in a way that routing cannot work with. */
  readonly problem: string | undefined;
}

/**
 * The LLM replicas: which of them a call goes to, and how long one waits for an answer. A conversation keeps its replica as long as that one takes
 * calls, so that the prefix is in its cache.
 */
export class LlmPool {
  readonly #options: LlmPoolOptions;
  readonly #replicas = new Map<string, LlmReplica>();
  readonly #news = new News();
  readonly #now: () => number;
  /** Start of the call that failed last of all replicas, until one answers. */
  #outSince: number | undefined;
  #lastFailure = Number.NEGATIVE_INFINITY;
  #everAvailable = false;
  /** There is no replica by policy; one comes when somebody waits for it. */
  #scaledToZero = false;
  #held = 0;
  /** Calls for which no replica is there. */
  readonly #without = new Set<symbol>();
  #contextLength: number | undefined;

  constructor(options: LlmPoolOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  get replicas(): readonly ReplicaView[] {
    return [...this.#replicas.values()];
  }

  /** Some replica takes calls now. */
  get available(): boolean {
    return [...this.#replicas.values()].some(({ available }) => available);
  }

  /** What is wrong with replicas that answer but are started otherwise than they must be; undefined where there are none. */
  get problem(): string | undefined {
    const problems = [...this.#replicas.values()].flatMap(({ endpoint, problem }) => (problem ? [`${endpoint.url}: ${problem}`] : []));
    return problems.length > 0 ? problems.join('; ') : undefined;
  }

  /** Some replica took calls once. */
  get everAvailable(): boolean {
    return this.#everAvailable;
  }

  /** The smallest context a replica reported; undefined until one did. */
  get contextLength(): number | undefined {
    return this.#contextLength;
  }

  /** Requests that wait because the pool was scaled to zero. */
  get held(): number {
    return this.#held;
  }

  /** Calls that wait because no replica takes them, although the pool is not at zero by policy. */
  get waitingCalls(): number {
    return this.#without.size;
  }

  /**
   * Takes over a new list of endpoints. Replicas that stay keep their connections and history.
   *
   * @param scaledToZero while no replica takes calls, whoever needs one waits for it without a limit
   */
  update(endpoints: readonly LlmEndpoint[], drainingPodUIDs: readonly string[], scaledToZero = false): void {
    this.#scaledToZero = scaledToZero;
    const wanted = new Map(endpoints.map((endpoint) => [idOf(endpoint), endpoint]));
    for (const [id, replica] of this.#replicas) {
      const endpoint = wanted.get(id);
      if (endpoint?.url === replica.endpoint.url) continue;
      this.#replicas.delete(id);
      void replica.close();
    }
    for (const [id, endpoint] of wanted) {
      const draining = endpoint.podUID !== undefined && drainingPodUIDs.includes(endpoint.podUID);
      const known = this.#replicas.get(id);
      if (known) {
        known.endpoint = endpoint;
        known.draining = draining;
      } else this.#replicas.set(id, this.#replica(endpoint, draining));
    }
    this.#notify();
  }

  /** Fills one replica's prefix cache with a prompt. @returns the token that follows it, or [] when that failed. */
  async prime(
    key: string,
    call: Omit<GenerateCall, 'timeoutMs'>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<readonly GeneratedToken[]> {
    // Waiting here says that a replica is wanted before the first divergent token is met.
    const wanted = await this.#whileAtZero(signal).then(
      () => true,
      () => false,
    );
    const replica = wanted ? this.#choose(key, new Set()) : undefined;
    if (!replica) return [];
    const share = this.#others(replica, key, new Set()) ? 2 : 1;
    try {
      return await this.#call(replica, 'prime', key, { ...call, timeoutMs: timeoutMs / share }, signal);
    } catch (error) {
      if (signal.aborted || error instanceof EngineError) return [];
      throw error;
    }
  }

  /**
   * Continues a sequence on the conversation's replica, on others when that one fails, and waits for one to come back where none takes calls.
   *
   * @returns the tokens; [] when none answered in time
   * @throws EngineError when each one that takes calls refused this very sequence; or a signal's reason
   */
  async generate(
    key: string,
    call: Omit<GenerateCall, 'timeoutMs'>,
    insistence: Insistence,
    signal: AbortSignal,
  ): Promise<readonly GeneratedToken[]> {
    const insisting = Symbol();
    try {
      return await this.#insist(key, call, insistence, signal, insisting);
    } finally {
      this.#without.delete(insisting);
    }
  }

  async #insist(
    key: string,
    call: Omit<GenerateCall, 'timeoutMs'>,
    insistence: Insistence,
    signal: AbortSignal,
    insisting: symbol,
  ): Promise<readonly GeneratedToken[]> {
    await this.#whileAtZero(signal, insistence.abandoned);
    let { ownDeadline, deadline } = this.#patience(key, insistence);
    const refused = new Set<LlmReplica>();
    let refusal: EngineError | undefined;
    for (let waits = 0; ;) {
      signal.throwIfAborted();
      insistence.abandoned?.throwIfAborted();
      const replica = this.#choose(key, refused);
      if (!replica) {
        // Waiting would not help: the same sequence would be refused again.
        if (refusal) throw refusal;
        if (await this.#whileAtZero(signal, insistence.abandoned)) {
          ({ ownDeadline, deadline } = this.#patience(key, insistence));
          continue;
        }
        if (!this.available) this.#outSince ??= this.#now();
        this.#without.add(insisting);
        const wait = Math.min(deadline - this.#now(), backoffMs(this.#options, waits++));
        if (!(await this.#change(wait, signal, insistence.abandoned)) && this.#now() >= deadline) return [];
        continue;
      }
      this.#without.delete(insisting);
      // Half the time goes to the first replica where another could still take over; a late one has a quarter still.
      const left = Math.min(ownDeadline - this.#now(), insistence.timeoutMs);
      const timeoutMs = Math.max(this.#others(replica, key, refused) ? left / 2 : left, insistence.timeoutMs / 4);
      try {
        return await this.#call(replica, 'token', key, { ...call, timeoutMs }, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof EngineError)) throw error;
        if (!error.retryable) {
          refused.add(replica);
          refusal = error;
        } else if (this.#now() >= (this.#choose(key, refused) ? ownDeadline : deadline)) return [];
      }
    }
  }

  /** The patience ends at `deadline` while nobody takes calls; as long as somebody does, it is this call's own, `ownDeadline`. */
  #patience(key: string, { timeoutMs, forever }: Insistence): { readonly ownDeadline: number; readonly deadline: number } {
    // Where the pool has been out for longer than the timeout already, nobody waits all over again; one that was quiet since gets the full patience.
    if (this.available && this.#now() - this.#lastFailure > timeoutMs) this.#outSince = undefined;
    if (forever) return { ownDeadline: Infinity, deadline: Infinity };
    const ownDeadline = this.#now() + timeoutMs;
    return { ownDeadline, deadline: Math.min(ownDeadline, (this.#outSinceFor(key) ?? Infinity) + timeoutMs) };
  }

  /** Waits while the pool is at zero by policy, which is no outage. @returns whether it was @throws a signal's reason */
  async #whileAtZero(signal: AbortSignal, abandoned?: AbortSignal): Promise<boolean> {
    if (!this.#isAtZero()) return false;
    this.#held++;
    try {
      while (this.#isAtZero()) await this.#change(longestHoldMs, signal, abandoned);
    } finally {
      this.#held--;
    }
    this.#outSince = undefined;
    return true;
  }

  #isAtZero(): boolean {
    return this.#scaledToZero && !this.available;
  }

  /** Stops looking after replicas and cuts their connections. */
  async close(): Promise<void> {
    const replicas = [...this.#replicas.values()];
    this.#replicas.clear();
    await Promise.all(replicas.map((replica) => replica.destroy()));
  }

  #replica(endpoint: LlmEndpoint, draining: boolean): LlmReplica {
    return new LlmReplica(endpoint, draining, this.#options, {
      changed: () => this.#notify(),
      failed: (since) => {
        this.#lastFailure = this.#now();
        if (!this.available) this.#outSince ??= since;
      },
      contextLearnt: (tokens) => {
        this.#contextLength = Math.min(tokens, this.#contextLength ?? Infinity);
      },
    });
  }

  #choose(key: string, refused: ReadonlySet<LlmReplica>): LlmReplica | undefined {
    return rendezvous(key, this.#candidates(key, refused), ({ id }) => id);
  }

  #candidates(key: string, refused: ReadonlySet<LlmReplica>): readonly LlmReplica[] {
    return [...this.#replicas.values()].filter(
      (replica) => replica.available && !refused.has(replica) && replica.doubtedSince(key) === undefined,
    );
  }

  /** Since when a conversation has had no answer: because no replica gave one, or because those it called did not in time. */
  #outSinceFor(key: string): number | undefined {
    const since = [this.#outSince, ...[...this.#replicas.values()].map((replica) => replica.doubtedSince(key))].filter(
      (time) => time !== undefined,
    );
    return since.length > 0 ? Math.min(...since) : undefined;
  }

  #others(replica: LlmReplica, key: string, refused: ReadonlySet<LlmReplica>): boolean {
    return this.#candidates(key, refused).some((other) => other !== replica);
  }

  async #call(
    replica: LlmReplica,
    kind: 'prime' | 'token',
    key: string,
    call: GenerateCall,
    signal: AbortSignal,
  ): Promise<readonly GeneratedToken[]> {
    const { observer } = this.#options;
    const started = this.#now();
    observer.llmCallStarted?.(kind, call.ids.length);
    const report = (outcome: 'ok' | 'failed' | 'cancelled'): void =>
      observer.llmCall(kind, outcome, (this.#now() - started) / 1000, call.ids.length);
    try {
      // a prime that took too long was only to warm the cache
      const tokens = await replica.generate(call, kind === 'token' ? key : undefined, signal);
      this.#outSince = undefined;
      report('ok');
      return tokens;
    } catch (error) {
      report(signal.aborted ? 'cancelled' : 'failed');
      throw error;
    }
  }

  #notify(): void {
    if (this.available) this.#everAvailable = true;
    this.#news.tell();
  }

  /** Waits for news of any replica. @returns false when none came in time @throws a signal's reason */
  #change(timeoutMs: number, signal: AbortSignal, abandoned?: AbortSignal): Promise<boolean> {
    return this.#news.wait(timeoutMs, abandoned ? [signal, abandoned] : [signal]);
  }
}
