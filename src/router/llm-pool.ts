import { setTimeout as sleep } from 'node:timers/promises';
import { EngineError, type EngineLoad, type GenerateCall, type GeneratedToken, type ServerInfo } from '../sglang/index.ts';
import { validTokens, type Engine } from './engines.ts';
import type { Log } from './log.ts';
import type { LoopObserver } from './observer.ts';
import { rendezvous } from './rendezvous.ts';
import { judgeServer } from './server-requirements.ts';

/** One LLM pod, as the EndpointSlices (or a flag) name it. */
export interface LlmEndpoint {
  /** `http://address:port`. */
  readonly url: string;
  readonly podUID?: string | undefined;
  readonly ready: boolean;
}

/** What the pool needs of a client of one replica. */
export interface LlmEngine extends Engine {
  /** Calls the server may still be working on. */
  readonly inFlight: number;
  ready(signal?: AbortSignal): Promise<boolean>;
  contextLength(signal?: AbortSignal): Promise<number | undefined>;
  serverInfo(signal?: AbortSignal): Promise<ServerInfo>;
  load(signal?: AbortSignal): Promise<EngineLoad>;
  /** Lets calls in flight end, then closes the connections. */
  close(): Promise<void>;
  /** Cuts the connections. */
  destroy(): Promise<void>;
}

export interface LlmPoolOptions {
  readonly connect: (endpoint: LlmEndpoint) => LlmEngine;
  /** Ids below this are known to both models and the tokenizer. */
  readonly validIds: number;
  readonly observer: LoopObserver;
  readonly log?: Log;
  /** Milliseconds that only go forward. */
  readonly now?: () => number;
  /** First and longest wait before a failed replica is looked at again. @default { firstMs: 100, longestMs: 5_000 } */
  readonly backoff?: { readonly firstMs: number; readonly longestMs: number };
}

/** How often a replica that was never up is asked whether it is. */
const probeMs = 1_000;
/** How long a replica that failed may take for one token after one. */
const canaryTimeoutMs = 10_000;
/** How long a replica's own wish to be left alone is heeded. */
const longestPauseMs = 10_000;

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

interface Replica {
  endpoint: LlmEndpoint;
  readonly engine: LlmEngine;
  draining: boolean;
  /** Said so itself since it appeared or last failed. */
  answering: boolean;
  /** Failures since the last answer to a client's call. */
  failures: number;
  /** Its context length was learnt. */
  contextKnown: boolean;
  problem: string | undefined;
  /** Conversations of which a call timed out here, and when the first such call began, until it is known whether the replica still answers. */
  readonly doubts: Map<string, number>;
  /** It is being found out. */
  examined: boolean;
  readonly gone: AbortController;
}

/**
 * The LLM replicas and what is known of them. A replica takes calls when its endpoint is ready, it is not being drained, it is started as it
 * must be and it has answered since it last failed; a conversation keeps its replica as long as that one takes calls.
 *
 * A call that times out says little: the replica may be dead, or the call's prompt long. So it is the one conversation that goes elsewhere,
 * until one token after one, asked for with the same timeout, has told which.
 */
export class LlmPool {
  readonly #options: LlmPoolOptions;
  readonly #replicas = new Map<string, Replica>();
  readonly #waiting = new Set<() => void>();
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
    return [...this.#replicas.values()].map((replica) => ({
      endpoint: replica.endpoint,
      engine: replica.engine,
      draining: replica.draining,
      available: isAvailable(replica),
      problem: replica.problem,
    }));
  }

  /** Some replica takes calls now. */
  get available(): boolean {
    return [...this.#replicas.values()].some(isAvailable);
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
      replica.gone.abort();
      void replica.engine.close();
    }
    for (const [id, endpoint] of wanted) {
      const draining = endpoint.podUID !== undefined && drainingPodUIDs.includes(endpoint.podUID);
      const known = this.#replicas.get(id);
      if (known) {
        known.endpoint = endpoint;
        known.draining = draining;
        continue;
      }
      const gone = new AbortController();
      const replica = {
        endpoint,
        draining,
        engine: this.#options.connect(endpoint),
        answering: false,
        failures: 0,
        contextKnown: false,
        problem: undefined,
        doubts: new Map<string, number>(),
        examined: false,
        gone,
      };
      this.#replicas.set(id, replica);
      void this.#probe(replica);
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
    const refused = new Set<Replica>();
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
        const wait = Math.min(deadline - this.#now(), this.#backoffMs(waits++));
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
    await Promise.all(
      replicas.map((replica) => {
        replica.gone.abort();
        return replica.engine.destroy();
      }),
    );
  }

  #choose(key: string, refused: ReadonlySet<Replica>): Replica | undefined {
    return rendezvous(key, this.#candidates(key, refused), (replica) => idOf(replica.endpoint));
  }

  #candidates(key: string, refused: ReadonlySet<Replica>): readonly Replica[] {
    return [...this.#replicas.values()].filter((replica) => isAvailable(replica) && !refused.has(replica) && !replica.doubts.has(key));
  }

  /** Since when a conversation has had no answer: because no replica gave one, or because those it called did not in time. */
  #outSinceFor(key: string): number | undefined {
    const since = [this.#outSince, ...[...this.#replicas.values()].map(({ doubts }) => doubts.get(key))].filter(
      (time) => time !== undefined,
    );
    return since.length > 0 ? Math.min(...since) : undefined;
  }

  #others(replica: Replica, key: string, refused: ReadonlySet<Replica>): boolean {
    return this.#candidates(key, refused).some((other) => other !== replica);
  }

  async #call(
    replica: Replica,
    kind: 'prime' | 'token',
    key: string,
    call: GenerateCall,
    signal: AbortSignal,
  ): Promise<readonly GeneratedToken[]> {
    const { observer, validIds } = this.#options;
    const started = this.#now();
    observer.llmCallStarted?.(kind, call.ids.length);
    const report = (outcome: 'ok' | 'failed' | 'cancelled'): void =>
      observer.llmCall(kind, outcome, (this.#now() - started) / 1000, call.ids.length);
    try {
      const tokens = validTokens(await replica.engine.generate(call, signal), validIds, replica.engine.url);
      replica.failures = 0;
      this.#outSince = undefined;
      report('ok');
      return tokens;
    } catch (error) {
      report(signal.aborted ? 'cancelled' : 'failed');
      if (!signal.aborted && error instanceof EngineError && error.retryable) {
        if (error.code !== 'timeout') this.#suspect(replica, started, error.retryAfterMs);
        else if (replica.answering) {
          // A prime that took too long was only to warm the cache: the conversation may try again at once.
          if (kind === 'token' && !replica.doubts.has(key)) replica.doubts.set(key, started);
          if (!replica.examined) void this.#examine(replica, call.timeoutMs);
        }
      }
      throw error;
    }
  }

  /** Finds out whether a replica at which a call timed out gives anybody a token within the same time. Never rejects. */
  async #examine(replica: Replica, timeoutMs: number): Promise<void> {
    replica.examined = true;
    const started = this.#now();
    const alive = await this.#givesToken(replica, timeoutMs).catch(() => false);
    replica.examined = false;
    const since = Math.min(started, ...replica.doubts.values());
    replica.doubts.clear();
    if (!alive && !replica.gone.signal.aborted) this.#suspect(replica, since);
    this.#notify();
  }

  /**
   * No call goes to a replica that failed until it says that it is ready. Calls that fail together count once.
   *
   * @param since start of the call that failed
   * @param notBeforeMs it is left alone for so long at least
   */
  #suspect(replica: Replica, since: number, notBeforeMs = 0): void {
    this.#lastFailure = this.#now();
    const { answering } = replica;
    replica.answering = false;
    if (!this.available) this.#outSince ??= since;
    if (!answering) return;
    replica.failures++;
    void this.#probe(replica, notBeforeMs);
  }

  /**
   * Asks a replica, with growing waits, until it answers or is gone: whether it is ready, and after a failure also for one token, so that
   * no client has to try out a server that hangs. One that is started otherwise than it must be is asked again like one that is not ready.
   */
  async #probe(replica: Replica, notBeforeMs = 0): Promise<void> {
    const { signal } = replica.gone;
    const failed = replica.failures > 0;
    const wait = (tries: number, atLeastMs = 0): Promise<void> =>
      sleep(Math.max(atLeastMs, failed ? this.#backoffMs(tries) : probeMs), undefined, { signal, ref: false });
    try {
      if (failed) await wait(replica.failures - 1, Math.min(notBeforeMs, longestPauseMs));
      for (let tries = 0; !(await this.#answers(replica, failed)) || !(await this.#suits(replica)); tries++) await wait(tries);
      await this.#askContextLength(replica);
      signal.throwIfAborted();
      replica.answering = true;
      this.#notify();
      await this.#learnContextLength(replica);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
  }

  /** Goes on asking a replica that takes calls without having said. When it fails, the next probe asks. */
  async #learnContextLength(replica: Replica): Promise<void> {
    while (!replica.contextKnown && replica.answering) {
      await sleep(probeMs, undefined, { signal: replica.gone.signal, ref: false });
      await this.#askContextLength(replica);
    }
  }

  async #askContextLength(replica: Replica): Promise<void> {
    const context = await replica.engine.contextLength(replica.gone.signal).catch(() => undefined);
    if (context === undefined || replica.gone.signal.aborted) return;
    replica.contextKnown = true;
    this.#contextLength = Math.min(context, this.#contextLength ?? Infinity);
  }

  async #answers({ engine, gone }: Replica, failed: boolean): Promise<boolean> {
    if (!(await engine.ready(gone.signal))) return false;
    return failed ? this.#givesToken({ engine, gone }, canaryTimeoutMs) : true;
  }

  /** Whether it is started as it must be. One that does not tell is taken for fine. */
  async #suits(replica: Replica): Promise<boolean> {
    const { engine, gone, endpoint } = replica;
    const info = await engine.serverInfo(gone.signal).catch(() => undefined);
    gone.signal.throwIfAborted();
    const problem = info && judgeServer(info, { hiddenStates: false }).refusals.join('; ');
    if (problem && problem !== replica.problem)
      this.#options.log?.error({ endpoint, problem }, 'LLM replica refused: it takes no calls until it is started otherwise');
    replica.problem = problem || undefined;
    return !problem;
  }

  /** Asks for one token after one. @throws the reason when the replica is gone */
  async #givesToken({ engine, gone }: Pick<Replica, 'engine' | 'gone'>, timeoutMs: number): Promise<boolean> {
    try {
      await engine.generate({ ids: [0], maxNewTokens: 1, timeoutMs }, gone.signal);
      return true;
    } catch (error) {
      if (error instanceof EngineError) return false;
      throw error;
    }
  }

  #backoffMs(tries: number): number {
    const { firstMs, longestMs } = this.#options.backoff ?? { firstMs: 100, longestMs: 5_000 };
    return Math.min(longestMs, firstMs * 2 ** Math.min(tries, 30));
  }

  #notify(): void {
    if (this.available) this.#everAvailable = true;
    for (const wake of [...this.#waiting]) wake();
  }

  /** Waits for news of any replica. @returns false when none came in time @throws a signal's reason */
  async #change(timeoutMs: number, signal: AbortSignal, abandoned?: AbortSignal): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const wake = (): void => resolve(true);
    const cancel = new AbortController();
    this.#waiting.add(wake);
    try {
      const late = sleep(Math.max(0, timeoutMs), false, {
        signal: AbortSignal.any([signal, cancel.signal, ...(abandoned ? [abandoned] : [])]),
      });
      return await Promise.race([promise, late]);
    } catch (error) {
      signal.throwIfAborted();
      abandoned?.throwIfAborted();
      throw error;
    } finally {
      this.#waiting.delete(wake);
      cancel.abort();
    }
  }
}

function idOf(endpoint: LlmEndpoint): string {
  return endpoint.podUID ?? endpoint.url;
}

function isAvailable(replica: Replica): boolean {
  return replica.endpoint.ready && !replica.draining && replica.answering;
}
