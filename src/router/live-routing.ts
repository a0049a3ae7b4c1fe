import { setTimeout as sleep } from 'node:timers/promises';
import { defaultPrecision, type RouterConfig } from '../api/router-config.ts';
import type { BundleStatus } from '../api/router-status.ts';
import { strategyTraits } from '../api/strategies.ts';
import { readConfig, type ConfigInForce } from './live-config.ts';
import type { Log } from './log.ts';
import { NetworkInForce, noNetwork, type Network } from './network-in-force.ts';
import { routingProblem } from './routing.ts';
import type { Scoring } from './scoring/index.ts';

/** A router network that a configuration asks for. */
export interface NetworkWish {
  /** Of a checkpoint or a bundle; null: what recovers raw logits, without a network. */
  readonly uri: string | null;
  readonly precision: 'fp32' | 'int8';
  readonly device: 'cpu' | 'cuda';
}

/**
 * Fetches, imports and opens. An error with `retryable: true` may pass; any other is what is wrong with the checkpoint.
 *
 * @param report hears what it is busy with, in words for people
 */
export type LoadNetwork = (wish: NetworkWish, report: (busyWith: string) => void, signal: AbortSignal) => Promise<Scoring>;

export interface LiveRoutingOptions {
  readonly load: LoadNetwork;
  readonly log: Log;
  /** A configuration was refused. */
  readonly onRefused: () => void;
  /** Something else is in force. */
  readonly onChange: () => void;
  /**
   * Tells a file or folder on this machine from what it was before; undefined for other addresses, and where there is nothing. Where it
   * changes under the same address, the network is loaded again.
   */
  readonly fingerprint?: (uri: string) => Promise<string | undefined>;
  /** How often it is taken. @default 1_000 */
  readonly lookEveryMs?: number;
  /** Waits before a load that failed in passing is tried again; the last one repeats. @default [1_000, 5_000, 15_000, 60_000] */
  readonly retryDelaysMs?: readonly number[];
}

/** The fingerprint where there is nothing. */
const nothing = '';

/** What the newest configuration asks for. */
interface Wanted {
  readonly wish: NetworkWish;
  readonly config: RouterConfig;
  readonly key: string;
  /** Of what was loaded last, or is being loaded; undefined: never taken. */
  fingerprint: string | undefined;
  loading: boolean;
}

/** What requests that begin now are served with. */
export interface RoutingInForce {
  readonly config: RouterConfig;
  readonly network: Network;
}

/**
 * The configuration and the network in force. A configuration that asks for no other network takes effect at once; one that does takes
 * effect in what is not about routing, and wholly when the network is loaded. A request keeps what it began with.
 */
export class LiveRouting {
  readonly #options: LiveRoutingOptions;
  #current: (RoutingInForce & { readonly key: string }) | undefined;
  #digest = '';
  #bundle: Pick<BundleStatus, 'state' | 'message'> | undefined;
  #loading: AbortController | undefined;
  readonly #retiring = new Map<NetworkInForce, NodeJS.Timeout>();
  #wanted: Wanted | undefined;
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(options: LiveRoutingOptions) {
    this.#options = options;
    const { fingerprint, lookEveryMs = 1_000 } = options;
    if (fingerprint) this.#timer = setInterval(() => void this.#look(fingerprint), lookEveryMs).unref();
  }

  get current(): RoutingInForce | undefined {
    return this.#current;
  }

  /** sha256 of the configuration text that was taken over last; '' before the first. */
  get digest(): string {
    return this.#digest;
  }

  /** Of the network in force. */
  get scoring(): Scoring | undefined {
    const network = this.#current?.network;
    return network instanceof NetworkInForce ? network.scoring : undefined;
  }

  /** Undefined where no network is asked for. */
  get bundle(): BundleStatus | undefined {
    if (!this.#bundle) return undefined;
    const { scoring } = this;
    const precision = this.#current?.config.precision ?? defaultPrecision(this.#current?.config.device ?? 'cpu');
    return { ...this.#bundle, ...(scoring && { digest: scoring.digest, precision }) };
  }

  /** What the first configuration waits for. */
  get waitingFor(): string | undefined {
    if (this.#current || !this.#bundle) return undefined;
    return `the router network${this.#bundle.message === undefined ? '' : ` (${this.#bundle.message})`}`;
  }

  /** Takes over a configuration's text. */
  take(text: string): void {
    const { log, onRefused, onChange } = this.#options;
    let read: ConfigInForce;
    try {
      read = readConfig(text);
    } catch (err) {
      onRefused();
      log.error({ err, digestInForce: this.#digest }, 'configuration refused; the one before stays in force');
      return;
    }
    this.#loading?.abort();
    this.#loading = undefined;
    this.#digest = read.digest;
    const { config } = read;
    const wish = wishOf(config);
    const key = JSON.stringify(wish ?? null);
    const before = this.#wanted;
    this.#wanted = wish && { wish, config, key, fingerprint: before?.key === key ? before.fingerprint : undefined, loading: false };
    if (!this.#wanted) this.#switch(config, noNetwork, key, undefined);
    else if (this.#current?.key === key) this.#reroute(this.#current, config);
    else {
      if (this.#current) this.#keepRouting(this.#current, config);
      void this.#load(this.#wanted);
    }
    log.info({ digest: read.digest, config, bundle: this.#bundle }, 'configuration in force');
    onChange();
  }

  /** Another configuration for the network in force, which may lack what it asks for. */
  #reroute(current: RoutingInForce & { readonly key: string }, config: RouterConfig): void {
    const message = routingProblem(config, current.network.loaded);
    if (message === undefined) {
      this.#switch(config, current.network, current.key, { state: 'Serving' });
      return;
    }
    this.#keepRouting(current, config);
    this.#bundle = { state: 'Refused', message };
    this.#options.log.error({ problem: message }, 'the router network cannot serve the configuration; what was in force stays');
  }

  #keepRouting(current: RoutingInForce & { readonly key: string }, config: RouterConfig): void {
    this.#current = { ...current, config: { ...config, ...routingFields(current.config) } };
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#loading?.abort();
    const open = [...this.#retiring.keys()];
    for (const timer of this.#retiring.values()) clearTimeout(timer);
    if (this.#current?.network instanceof NetworkInForce) open.push(this.#current.network);
    await Promise.all(open.map((network) => network.close()));
  }

  /** Loads again what lies under the same address, but has changed. */
  async #look(fingerprint: (uri: string) => Promise<string | undefined>): Promise<void> {
    const wanted = this.#wanted;
    if (!wanted || wanted.wish.uri === null || wanted.loading) return;
    const now = (await fingerprint(wanted.wish.uri)) ?? nothing;
    if (this.#wanted !== wanted || now === wanted.fingerprint) return;
    const first = wanted.fingerprint === undefined;
    wanted.fingerprint = now;
    // What went away may come back; until then what is in force stays.
    if (first || now === nothing) return;
    this.#options.log.info({ uri: wanted.wish.uri }, 'the router network has changed where it lies');
    await this.#load(wanted);
  }

  async #load(wanted: Wanted): Promise<void> {
    const { signal } = (this.#loading = new AbortController());
    wanted.loading = true;
    this.#bundle = { state: 'Loading', message: 'starting' };
    const { uri } = wanted.wish;
    if (uri !== null && this.#options.fingerprint) wanted.fingerprint = (await this.#options.fingerprint(uri)) ?? nothing;
    await this.#tryToLoad(wanted, signal);
    wanted.loading = false;
  }

  async #tryToLoad({ wish, config, key }: Wanted, signal: AbortSignal): Promise<void> {
    const { load, log, retryDelaysMs = [1_000, 5_000, 15_000, 60_000] } = this.#options;
    const report = (message: string): void => {
      if (!signal.aborted) this.#bundle = { state: 'Loading', message };
    };
    for (let tries = 0; !signal.aborted; tries++) {
      try {
        await this.#open(await load(wish, report, signal), config, key, signal);
        return;
      } catch (err) {
        if (isOver(signal)) return;
        const message = err instanceof Error ? err.message : String(err);
        if (!isRetryable(err)) {
          this.#bundle = { state: 'Refused', message };
          log.error({ err, uri: wish.uri }, 'router network refused; what was in force stays');
          return;
        }
        const delay = retryDelaysMs[Math.min(tries, retryDelaysMs.length - 1)] ?? 60_000;
        report(`${message}; trying again in ${delay / 1000} s`);
        log.warn({ err, uri: wish.uri, retryInMs: delay }, 'router network cannot be loaded now');
        await sleep(delay, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  /** Puts a loaded network in force, unless nobody wants it any more. @throws Error when the configuration cannot be served with it */
  async #open(scoring: Scoring, config: RouterConfig, key: string, signal: AbortSignal): Promise<void> {
    const network = new NetworkInForce(scoring);
    const problem = routingProblem(config, network.loaded);
    if (signal.aborted || problem !== undefined) await network.close();
    if (signal.aborted) return;
    if (problem !== undefined) throw new Error(problem);
    this.#switch(config, network, key, { state: 'Serving' });
    const { digest, manifest } = scoring;
    this.#options.log.info({ bundle: digest, network: manifest.network }, 'router network in force');
    this.#options.onChange();
  }

  #switch(config: RouterConfig, network: Network, key: string, bundle: Pick<BundleStatus, 'state' | 'message'> | undefined): void {
    const before = this.#current?.network;
    this.#current = { config, network, key };
    this.#bundle = bundle;
    if (before instanceof NetworkInForce && before !== network) this.#retiring.set(before, before.retire());
  }
}

/** The network a configuration needs: its checkpoint's, or, for strategies that look at raw logits, what recovers those. */
function wishOf(config: RouterConfig): NetworkWish | undefined {
  const { checkpoint, device, precision = defaultPrecision(device), strategy, overrides } = config;
  if (checkpoint) return { uri: checkpoint.uri, precision, device };
  const chosen = [strategy, ...(overrides.strategies ?? [])];
  const needsLogits = chosen.some((name) => strategyTraits[name].options.includes('aleatoricThreshold'));
  return needsLogits ? { uri: null, precision: 'fp32', device } : undefined;
}

/** The fields that belong to a network: while another one is loaded, or when it is refused, those of the configuration before stay. */
function routingFields(config: RouterConfig) {
  const { checkpoint, precision, device, strategy, threshold, strategyOptions, overrides } = config;
  return { checkpoint, precision, device, strategy, threshold, strategyOptions, overrides };
}

/** Asked behind an await, where the compiler still believes what held before it. */
function isOver(signal: AbortSignal): boolean {
  return signal.aborted;
}

function isRetryable(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'retryable' in error && error.retryable === true;
}
