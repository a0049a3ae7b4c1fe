import { setTimeout as sleep } from 'node:timers/promises';
import { EngineError, type EngineLoad, type GenerateCall, type GeneratedToken, type ServerInfo } from '../sglang/index.ts';
import { validTokens, type Engine } from './engines.ts';
import type { Log } from './log.ts';
import { judgeServer } from './server-requirements.ts';

/** One LLM pod, as the EndpointSlices (or a flag) name it. */
export interface LlmEndpoint {
  /** `http://address:port`. */
  readonly url: string;
  readonly podUID?: string | undefined;
  readonly ready: boolean;
}

/** What is needed of a client of one replica. */
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

export interface LlmReplicaOptions {
  readonly connect: (endpoint: LlmEndpoint) => LlmEngine;
  /** Ids below this are known to both models and the tokenizer. */
  readonly validIds: number;
  readonly log?: Log;
  /** Milliseconds that only go forward. */
  readonly now?: () => number;
  /** First and longest wait before a failed replica is looked at again. @default { firstMs: 100, longestMs: 5_000 } */
  readonly backoff?: { readonly firstMs: number; readonly longestMs: number };
}

/** Who wants to know what becomes of a replica. */
export interface LlmReplicaListener {
  /** It takes calls, or may take those of some conversation again. */
  readonly changed: () => void;
  /** It does not answer. @param since - start of the call that failed */
  readonly failed: (since: number) => void;
  readonly contextLearnt: (tokens: number) => void;
}

/** How often a replica that was never up is asked whether it is. */
const probeMs = 1_000;
/** How long a replica that failed may take for one token after one. */
const canaryTimeoutMs = 10_000;
/** How long a replica's own wish to be left alone is heeded. */
const longestPauseMs = 10_000;

/** The wait after so many failures. */
export function backoffMs({ backoff }: Pick<LlmReplicaOptions, 'backoff'>, failures: number): number {
  const { firstMs, longestMs } = backoff ?? { firstMs: 100, longestMs: 5_000 };
  return Math.min(longestMs, firstMs * 2 ** Math.min(failures, 30));
}

/**
 * One LLM server and what is known of it. It takes calls when its endpoint is ready, it is not being drained, it is started as it must be and it
 * has answered since it last failed.
 *
 * A call that times out says little: the server may be dead, or the call's prompt long. So it is the one conversation that is not to call it,
 * until one token after one, asked for with the same timeout, has told which.
 */
export class LlmReplica {
  endpoint: LlmEndpoint;
  draining: boolean;
  readonly engine: LlmEngine;
  readonly #options: LlmReplicaOptions;
  readonly #listener: LlmReplicaListener;
  readonly #now: () => number;
  readonly #gone = new AbortController();
  /** Conversations of which a call timed out here, and when the first such call began, until it is known whether the server still answers. */
  readonly #doubts = new Map<string, number>();
  /** Said so itself since it appeared or last failed. */
  #answering = false;
  /** Failures since the last answer to a client's call. */
  #failures = 0;
  #contextKnown = false;
  #problem: string | undefined;
  /** It is being found out. */
  #examined = false;

  constructor(endpoint: LlmEndpoint, draining: boolean, options: LlmReplicaOptions, listener: LlmReplicaListener) {
    this.endpoint = endpoint;
    this.draining = draining;
    this.engine = options.connect(endpoint);
    this.#options = options;
    this.#listener = listener;
    this.#now = options.now ?? (() => performance.now());
    void this.#probe();
  }

  /** The same as long as it is the same pod. */
  get id(): string {
    return idOf(this.endpoint);
  }

  /** Takes calls now. */
  get available(): boolean {
    return this.endpoint.ready && !this.draining && this.#answering;
  }

  /** Why it takes no calls although it answers: it was started in a way that routing cannot work with. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** When the first call of a conversation began that was not answered in time; undefined: it may call. */
  doubtedSince(key: string): number | undefined {
    return this.#doubts.get(key);
  }

  /**
   * One call of a client.
   *
   * @param key - conversation that goes elsewhere when this takes too long; undefined: none does, and it may try again at once
   * @throws EngineError, or the signal's reason
   */
  async generate(call: GenerateCall, key: string | undefined, signal: AbortSignal): Promise<readonly GeneratedToken[]> {
    const started = this.#now();
    try {
      const tokens = validTokens(await this.engine.generate(call, signal), this.#options.validIds, this.engine.url);
      this.#failures = 0;
      return tokens;
    } catch (error) {
      if (!signal.aborted && error instanceof EngineError && error.retryable) {
        if (error.code !== 'timeout') this.#suspect(started, error.retryAfterMs);
        else if (this.#answering) {
          if (key !== undefined && !this.#doubts.has(key)) this.#doubts.set(key, started);
          if (!this.#examined) void this.#examine(call.timeoutMs);
        }
      }
      throw error;
    }
  }

  /** Is looked after no more; calls in flight may end. */
  close(): Promise<void> {
    this.#gone.abort();
    return this.engine.close();
  }

  /** As `close`, and cuts its connections. */
  destroy(): Promise<void> {
    this.#gone.abort();
    return this.engine.destroy();
  }

  /** Finds out whether a server at which a call timed out gives anybody a token within the same time. Never rejects. */
  async #examine(timeoutMs: number): Promise<void> {
    this.#examined = true;
    const started = this.#now();
    const alive = await this.#givesToken(timeoutMs).catch(() => false);
    this.#examined = false;
    const since = Math.min(started, ...this.#doubts.values());
    this.#doubts.clear();
    if (!alive && !this.#gone.signal.aborted) this.#suspect(since);
    this.#listener.changed();
  }

  /**
   * No call goes to a server that failed until it says that it is ready. Calls that fail together count once.
   *
   * @param since start of the call that failed
   * @param notBeforeMs it is left alone for so long at least
   */
  #suspect(since: number, notBeforeMs = 0): void {
    const answering = this.#answering;
    this.#answering = false;
    this.#listener.failed(since);
    if (!answering) return;
    this.#failures++;
    void this.#probe(notBeforeMs);
  }

  /**
   * Asks, with growing waits, until it answers or is gone: whether it is ready, and after a failure also for one token, so that no client has to
   * try out a server that hangs. One that is started otherwise than it must be is asked again like one that is not ready.
   */
  async #probe(notBeforeMs = 0): Promise<void> {
    const { signal } = this.#gone;
    const failed = this.#failures > 0;
    const wait = (tries: number, atLeastMs = 0): Promise<void> =>
      sleep(Math.max(atLeastMs, failed ? backoffMs(this.#options, tries) : probeMs), undefined, { signal, ref: false });
    try {
      if (failed) await wait(this.#failures - 1, Math.min(notBeforeMs, longestPauseMs));
      for (let tries = 0; !(await this.#answers(failed)) || !(await this.#suits()); tries++) await wait(tries);
      await this.#askContextLength();
      signal.throwIfAborted();
      this.#answering = true;
      this.#listener.changed();
      await this.#learnContextLength();
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
  }

  /** Goes on asking a server that takes calls without having said. When it fails, the next probe asks. */
  async #learnContextLength(): Promise<void> {
    while (!this.#contextKnown && this.#answering) {
      await sleep(probeMs, undefined, { signal: this.#gone.signal, ref: false });
      await this.#askContextLength();
    }
  }

  async #askContextLength(): Promise<void> {
    const context = await this.engine.contextLength(this.#gone.signal).catch(() => undefined);
    if (context === undefined || this.#gone.signal.aborted) return;
    this.#contextKnown = true;
    this.#listener.contextLearnt(context);
  }

  async #answers(failed: boolean): Promise<boolean> {
    if (!(await this.engine.ready(this.#gone.signal))) return false;
    return failed ? this.#givesToken(canaryTimeoutMs) : true;
  }

  /** Whether it is started as it must be. One that does not tell is taken for fine. */
  async #suits(): Promise<boolean> {
    const { endpoint } = this;
    const info = await this.engine.serverInfo(this.#gone.signal).catch(() => undefined);
    this.#gone.signal.throwIfAborted();
    const problem = info && judgeServer(info, { hiddenStates: false }).refusals.join('; ');
    if (problem && problem !== this.#problem)
      this.#options.log?.error({ endpoint, problem }, 'LLM replica refused: it takes no calls until it is started otherwise');
    this.#problem = problem || undefined;
    return !problem;
  }

  /** Asks for one token after one. @throws the reason when the replica is gone */
  async #givesToken(timeoutMs: number): Promise<boolean> {
    try {
      await this.engine.generate({ ids: [0], maxNewTokens: 1, timeoutMs }, this.#gone.signal);
      return true;
    } catch (error) {
      if (error instanceof EngineError) return false;
      throw error;
    }
  }
}

export function idOf(endpoint: LlmEndpoint): string {
  return endpoint.podUID ?? endpoint.url;
}
