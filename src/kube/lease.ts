import type { KubeClient } from './client.ts';
import { isAborted, microTime, pause, systemClock, type Clock } from './clock.ts';
import { ConfigError, isConflict, isNotFound, LeadershipLostError } from './errors.ts';
import { silentLogger, type Logger } from './logger.ts';
import type { KubeMetrics } from './metrics.ts';
import type { Live } from './object.ts';
import { leases, type Lease } from './resources.ts';

export interface LeaderElectorOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Name of the Lease. */
  readonly name: string;
  /** Unlike that of any other process: pod name and a random part. */
  readonly identity: string;
  /** Others wait this long after the last renewal they saw, in ms (whole seconds). @default 15_000 */
  readonly leaseMs?: number;
  /** A leader that has not renewed for this long gives up, in ms; shorter than `leaseMs`. @default 10_000 */
  readonly renewDeadlineMs?: number;
  /** Pause between attempts, in ms, with jitter. @default 2_000 */
  readonly retryMs?: number;
  readonly logger?: Logger;
  readonly metrics?: KubeMetrics | undefined;
  readonly clock?: Clock;
}

/** What was last seen of the Lease, and when by our own clock. */
interface Observation {
  readonly lease: Live<Lease>;
  readonly at: number;
}

/**
 * Leader election over a Lease, as client-go does it: expiry counts from when *we* saw the last change, so clocks need not agree.
 * The price: a lease that was dead already when we came still costs one lease duration.
 */
export class LeaderElector {
  readonly #client: KubeClient;
  readonly #options: LeaderElectorOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #leaseMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryMs: number;
  #observed: Observation | undefined;
  #leads = false;

  /** Throws {@link ConfigError} for durations that cannot work together. */
  constructor(options: LeaderElectorOptions) {
    const { leaseMs = 15_000, renewDeadlineMs = 10_000, retryMs = 2_000 } = options;
    if (leaseMs % 1000 !== 0 || leaseMs < 1000) throw new ConfigError(`leaseMs: ${leaseMs} must be whole seconds, in ms`);
    if (renewDeadlineMs >= leaseMs) throw new ConfigError(`renewDeadlineMs: ${renewDeadlineMs} must be less than leaseMs (${leaseMs})`);
    if (retryMs * 1.2 >= renewDeadlineMs)
      throw new ConfigError(`retryMs: ${retryMs} must be well below renewDeadlineMs (${renewDeadlineMs})`);
    this.#client = options.client;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = (options.logger ?? silentLogger).child({ lease: this.#name, identity: options.identity });
    this.#leaseMs = leaseMs;
    this.#renewDeadlineMs = renewDeadlineMs;
    this.#retryMs = retryMs;
  }

  get isLeader(): boolean {
    return this.#leads;
  }

  /** How long after a leader gave up another may begin, in ms. */
  get graceMs(): number {
    return this.#leaseMs - this.#renewDeadlineMs;
  }

  /** Who holds the lease as far as we know. */
  get holder(): string | undefined {
    return this.#observed?.lease.spec?.holderIdentity || undefined;
  }

  /**
   * Waits for the lease, then runs `lead` while renewing it. `lead`'s signal aborts when `signal` does or leadership is lost.
   * Resolves after `signal` aborted, `lead` returned and the lease was released; rejects with {@link LeadershipLostError}
   * at once, while `lead` may still be stopping, which it must within `graceMs`, or with `lead`'s error. May be run again.
   */
  async run(signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const renewedAt = await this.#acquire(signal);
    if (renewedAt === undefined) return;
    this.#setLeads(true);
    this.#logger.info({}, 'leading');
    const stop = new AbortController();
    const leading = lead(AbortSignal.any([signal, stop.signal])).finally(() => stop.abort());
    // looked at below; until then it must not count as unhandled
    leading.catch(() => undefined);
    try {
      // the lease is kept until the work has ended, even after the signal: nobody else may begin before
      await this.#keep(renewedAt, stop.signal);
    } catch (error) {
      this.#setLeads(false);
      stop.abort(error);
      this.#logger.error({ err: error }, 'leadership lost');
      throw error;
    }
    try {
      await leading;
    } finally {
      this.#setLeads(false);
      await this.#release();
    }
  }

  get #name(): string {
    return `${this.#options.namespace}/${this.#options.name}`;
  }

  /** Resolves to when the lease was acquired, by our clock; undefined when the signal came first. */
  async #acquire(signal: AbortSignal): Promise<number | undefined> {
    while (!signal.aborted) {
      const startedAt = this.#clock.now();
      try {
        if (await this.#tryHold(signal)) return startedAt;
      } catch (error) {
        if (!isAborted(signal)) this.#logger.warn({ err: error }, 'lease cannot be acquired, trying again');
      }
      await this.#rest(signal);
    }
    return undefined;
  }

  /** Renews until `stop` aborts; throws {@link LeadershipLostError} when another holds the lease or renewing failed for too long. */
  async #keep(renewedAt: number, stop: AbortSignal): Promise<void> {
    let giveUpAt = renewedAt + this.#renewDeadlineMs;
    for (;;) {
      await this.#rest(stop, giveUpAt - this.#clock.now());
      if (isAborted(stop)) return;
      const startedAt = this.#clock.now();
      const failure = await this.#renew(stop, giveUpAt - startedAt);
      if (isAborted(stop)) return;
      if (!failure) giveUpAt = startedAt + this.#renewDeadlineMs;
      else if (this.#clock.now() >= giveUpAt) throw new LeadershipLostError(this.#name, { cause: failure.error });
      else this.#logger.warn({ err: failure.error }, 'lease cannot be renewed, trying again');
    }
  }

  /** Undefined when renewed. Never waits longer than until the leader must give up. */
  async #renew(stop: AbortSignal, remainingMs: number): Promise<{ readonly error: unknown } | undefined> {
    try {
      if (await this.#tryHold(stop, Math.min(this.#callMs, Math.max(1, remainingMs)))) return undefined;
    } catch (error) {
      return { error };
    }
    throw new LeadershipLostError(this.#name);
  }

  /** One attempt to create, take over or renew. False: another holds it, or was faster. */
  async #tryHold(signal: AbortSignal, deadlineMs = this.#callMs): Promise<boolean> {
    const { namespace, name, identity } = this.#options;
    const call = { signal, deadlineMs, retries: 0 };
    const now = microTime(this.#clock.date());
    const spec = {
      holderIdentity: identity,
      leaseDurationSeconds: this.#leaseMs / 1000,
      acquireTime: now,
      renewTime: now,
      leaseTransitions: 0,
    };
    const head = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };
    let live: Live<Lease> | undefined;
    try {
      // our own last write is tried first: a renewal is one request
      live = this.#leads && this.#observed ? this.#observed.lease : await this.#client.get(leases, { namespace, name }, call);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    try {
      if (!live) {
        this.#observe(await this.#client.create(leases, { ...head, metadata: { namespace, name }, spec }, call));
        return true;
      }
      this.#observe(live);
      const held = live.spec ?? {};
      const mine = held.holderIdentity === identity;
      if (!mine && held.holderIdentity && !this.#expired(held.leaseDurationSeconds ?? 0)) return false;
      const transitions = held.leaseTransitions ?? 0;
      const next = mine
        ? { ...spec, acquireTime: held.acquireTime, leaseTransitions: transitions }
        : { ...spec, leaseTransitions: transitions + 1 };
      this.#observe(await this.#client.replace(leases, { ...live, ...head, spec: { ...held, ...next } }, call));
      return true;
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error;
      // somebody changed or deleted it since we looked: look again, and see who holds it
      this.#observed = this.#leads ? undefined : this.#observed;
      const fresh = await this.#client.find(leases, { namespace, name }, call);
      if (fresh) this.#observe(fresh);
      if (!fresh || fresh.spec?.holderIdentity === identity) throw error;
      return false;
    }
  }

  #observe(lease: Live<Lease>): void {
    if (this.#observed?.lease.metadata.resourceVersion === lease.metadata.resourceVersion) return;
    this.#observed = { lease, at: this.#clock.now() };
  }

  #expired(leaseDurationSeconds: number): boolean {
    return this.#observed !== undefined && this.#clock.now() - this.#observed.at > leaseDurationSeconds * 1000;
  }

  /** Lets the next one start at once instead of after a lease duration. */
  async #release(): Promise<void> {
    const live = this.#observed?.lease;
    if (!live) return;
    const call = { deadlineMs: this.#callMs, retries: 0 };
    try {
      await this.#releaseFrom(live).catch(async (error: unknown) => {
        // a renewal that was aborted on its way may have arrived all the same
        const { namespace, name } = this.#options;
        const fresh = isConflict(error) ? await this.#client.find(leases, { namespace, name }, call) : undefined;
        if (!fresh) throw error;
        await this.#releaseFrom(fresh);
      });
    } catch (error) {
      this.#logger.warn({ err: error }, 'lease could not be released and will expire');
    }
  }

  async #releaseFrom(live: Live<Lease>): Promise<void> {
    if (live.spec?.holderIdentity !== this.#options.identity) return;
    const spec = { ...live.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime(this.#clock.date()) };
    await this.#client.replace(leases, { ...live, metadata: live.metadata, spec }, { deadlineMs: this.#callMs, retries: 0 });
    this.#logger.info({}, 'lease released');
  }

  /** For one request: two must fit before a leader gives up. */
  get #callMs(): number {
    return this.#renewDeadlineMs / 2;
  }

  #rest(signal: AbortSignal, atMostMs = Infinity): Promise<void> {
    return pause(Math.min(atMostMs, this.#retryMs * (1 + Math.random() * 0.2)), signal, this.#clock);
  }

  #setLeads(leads: boolean): void {
    this.#leads = leads;
    this.#options.metrics?.leader.set({ name: this.#options.name }, leads ? 1 : 0);
  }
}
