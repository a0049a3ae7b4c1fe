import { setTimeout as sleep } from 'node:timers/promises';
import { EngineError, type SglangClient } from '../sglang/index.ts';
import type { Log } from './log.ts';
import { judgeServer } from './server-requirements.ts';

/** How often the SLM's server is asked whether it is ready. */
const everyMs = 1_000;
/** While it starts, a line in the log every so many seconds. */
const logEveryMs = 10_000;
/** How long the server may take for the two tokens of the test. */
const testTimeoutMs = 10_000;

/** What the configuration in force will ask of the SLM's server. */
export interface SlmNeeds {
  readonly hiddenStates: boolean;
  /** Entries of each distribution. */
  readonly topLogprobs: number;
  /** Values of a hidden state that the router network takes; undefined: there is none. */
  readonly hiddenSize?: number | undefined;
}

type WatchedClient = Pick<SglangClient, 'url' | 'ready' | 'contextLength' | 'serverInfo' | 'generate'>;

const plainNeeds: SlmNeeds = { hiddenStates: false, topLogprobs: 0 };

/**
 * Knows whether the SLM's server, which starts beside this router and may restart at any time, takes requests now. Each time it has started it
 * is asked how; and where a router network looks at hidden states, two tokens with all that must come with them are asked for first.
 */
export class SlmWatch {
  readonly #slm: WatchedClient;
  readonly #log: Log;
  readonly #needs: () => SlmNeeds;
  readonly #stop = new AbortController();
  #poked = Promise.withResolvers<undefined>();
  #answering = false;
  #everReady = false;
  #contextLength: number | undefined;
  #problem: string | undefined;
  /** It was looked at since it started, and nothing is wrong. */
  #fit = false;
  /** Values of a hidden state that the test found right since it started. */
  #testedSize: number | undefined;
  #warned = '';

  constructor(slm: WatchedClient, log: Log, needs: () => SlmNeeds = () => plainNeeds) {
    this.#slm = slm;
    this.#log = log;
    this.#needs = needs;
    void this.#watch();
  }

  get ready(): boolean {
    return this.#answering && this.#fit && this.#isTested(this.#needs());
  }

  get everReady(): boolean {
    return this.#everReady;
  }

  /** Why a server that answers cannot be used as it was started, with the fix, in plain words. */
  get problem(): string | undefined {
    return this.#answering ? this.#problem : undefined;
  }

  /** What the server allows; undefined until it said. */
  get contextLength(): number | undefined {
    return this.#contextLength;
  }

  /** Looks now: what is asked of the server may have changed. */
  look(): void {
    this.#poked.resolve(undefined);
  }

  stop(): void {
    this.#stop.abort();
    this.look();
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    const slm = this.#slm;
    let since = Date.now();
    let loggedAt = 0;
    for (;;) {
      this.#poked = Promise.withResolvers();
      try {
        const wasReady = this.ready;
        this.#answering = await slm.ready(signal);
        if (this.#answering) await this.#examine(signal);
        else {
          this.#fit = false;
          this.#testedSize = undefined;
        }
        if (this.ready && !wasReady)
          this.#log.info({ slm: slm.url, contextLength: this.#contextLength, afterMs: Date.now() - since }, 'SLM server is ready');
        if (!this.ready && (wasReady || Date.now() - loggedAt >= logEveryMs)) {
          if (wasReady) since = Date.now();
          loggedAt = Date.now();
          this.#log.info({ slm: slm.url, waitedSeconds: Math.round((Date.now() - since) / 1000) }, 'waiting for the SLM server');
        }
        this.#everReady ||= this.ready;
        await Promise.race([sleep(everyMs, undefined, { signal, ref: false }), this.#poked.promise]);
        signal.throwIfAborted();
      } catch (error) {
        // Only the stop signal ends a wait or a question early.
        if (signal.aborted) return;
        throw error;
      }
    }
  }

  /** Looks at a server that answers, until it is found fit; then again only for what is asked of it newly. */
  async #examine(signal: AbortSignal): Promise<void> {
    const needs = this.#needs();
    // A server that restarted may allow another length; one that could not say yet is asked until it does.
    if (!this.#fit || this.#contextLength === undefined)
      this.#contextLength = (await this.#slm.contextLength(signal).catch(() => undefined)) ?? this.#contextLength;
    if (this.#fit && this.#isTested(needs)) return;
    const info = await this.#slm.serverInfo(signal).catch(() => undefined);
    signal.throwIfAborted();
    const { refusals, warnings } = info ? judgeServer(info, needs) : { refusals: [], warnings: [] };
    const warning = warnings.join('; ');
    if (warning !== this.#warned && warning !== '')
      this.#log.warn({ slm: this.#slm.url, warning }, 'SLM server is not started at its best');
    this.#warned = warning;
    if (refusals.length > 0) {
      this.#refuse(refusals.join('; '));
      return;
    }
    if (!this.#isTested(needs)) {
      const outcome = await this.#test(needs, signal);
      if (typeof outcome === 'object') {
        this.#refuse(outcome.problem);
        return;
      }
      if (outcome === 'passed') this.#testedSize = needs.hiddenSize ?? 0;
    }
    this.#problem = undefined;
    this.#fit = true;
  }

  #isTested({ hiddenStates, hiddenSize = 0 }: SlmNeeds): boolean {
    return !hiddenStates || this.#testedSize === hiddenSize;
  }

  #refuse(problem: string): void {
    this.#fit = false;
    if (problem !== this.#problem) this.#log.error({ slm: this.#slm.url, problem }, 'SLM server refused; it is looked at again');
    this.#problem = problem;
  }

  /** Asks for two tokens as the token loop will, of which the client checks the form. @returns how it went, or what is wrong */
  async #test({ topLogprobs, hiddenSize }: SlmNeeds, signal: AbortSignal): Promise<'passed' | 'unanswered' | { readonly problem: string }> {
    try {
      const call = { ids: [0], maxNewTokens: 2, hiddenStates: true, topLogprobs, timeoutMs: testTimeoutMs };
      const { tokens } = await this.#slm.generate(call, signal);
      const width = tokens[0]?.hidden?.length;
      if (hiddenSize === undefined || width === hiddenSize) return 'passed';
      return {
        problem: `its hidden states have ${width} values, the router network takes ${hiddenSize}; serve the SLM that the checkpoint was trained for`,
      };
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      this.#log.warn({ err: error, slm: this.#slm.url }, 'SLM server failed the test');
      // What the server said can hold paths and addresses: it goes to the log only.
      if (error.code === 'rejected')
        return {
          problem: 'it refuses to return hidden states, which the router network looks at; start it with --enable-return-hidden-states',
        };
      if (error.retryable && error.code !== 'malformed') return 'unanswered';
      return { problem: `its answer with hidden states and ${topLogprobs} log-probabilities is ${error.code}; see the router's log` };
    }
  }
}
