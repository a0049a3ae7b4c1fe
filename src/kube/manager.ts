import type { KubeClient } from './client.ts';
import { pause } from './clock.ts';
import type { Controller } from './controller.ts';
import { LeadershipLostError } from './errors.ts';
import { Informer, type InformerOptions } from './informer.ts';
import { LeaderElector, type LeaderElectorOptions } from './lease.ts';
import { silentLogger, type Logger } from './logger.ts';
import type { KubeMetrics } from './metrics.ts';
import type { KubeObject } from './object.ts';
import type { ResourceType } from './resource-type.ts';

export interface ManagerOptions {
  readonly client: KubeClient;
  readonly logger?: Logger;
  readonly metrics?: KubeMetrics | undefined;
  /** Absent: no election, this process is the only one. */
  readonly election?: Pick<LeaderElectorOptions, 'namespace' | 'name' | 'identity' | 'leaseMs' | 'renewDeadlineMs' | 'retryMs'> | undefined;
}

interface Runnable {
  readonly name: string;
  readonly run: (signal: AbortSignal) => Promise<void>;
}

/** What the manager needs of an informer, whatever its objects. */
type AnyInformer = Pick<Informer<KubeObject>, 'start' | 'stop' | 'waitForSync' | 'hasSynced'>;

/** Runs an operator: informers in every replica (a warm cache), controllers and runnables in the leader. */
export class Manager {
  readonly #options: ManagerOptions;
  readonly #logger: Logger;
  readonly #informers: AnyInformer[] = [];
  readonly #controllers: Controller[] = [];
  readonly #runnables: Runnable[] = [];
  readonly #elector: LeaderElector | undefined;
  #leads = false;

  constructor(options: ManagerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    const { client, metrics, election } = options;
    this.#elector = election && new LeaderElector({ ...election, client, metrics, logger: this.#logger });
  }

  /** Makes an informer that starts and stops with the manager. Before `run`. */
  informer<T extends KubeObject>(type: ResourceType<T>, options?: Omit<InformerOptions<T>, 'logger' | 'metrics'>): Informer<T> {
    const { client, metrics } = this.#options;
    const informer = new Informer(client, type, { ...options, logger: this.#logger, metrics });
    this.#informers.push(informer);
    return informer;
  }

  /** A controller that runs while this process leads. */
  add(controller: Controller): this {
    this.#controllers.push(controller);
    return this.addRunnable(controller.name, (signal) => controller.run(signal));
  }

  /** Something else that only the leader does; must return when the signal aborts. */
  addRunnable(name: string, run: (signal: AbortSignal) => Promise<void>): this {
    this.#runnables.push({ name, run });
    return this;
  }

  /** For `/readyz`: the caches are filled. */
  get ready(): boolean {
    return this.#informers.every(({ hasSynced }) => hasSynced);
  }

  /** For `/healthz`: undefined when well, else what only a restart cures. A server that is away is none of that. */
  get problem(): string | undefined {
    return this.#controllers.map(({ problem }) => problem).find((problem) => problem !== undefined);
  }

  get isLeader(): boolean {
    return this.#leads;
  }

  /** Until `signal` aborts (resolves when all has stopped and the lease is released), or something fails (rejects: exit non-zero). */
  async run(signal: AbortSignal): Promise<void> {
    for (const informer of this.#informers) informer.start();
    try {
      await Promise.all(this.#informers.map((informer) => informer.waitForSync(signal)));
      this.#logger.info({ informers: this.#informers.length }, 'caches are filled');
      if (this.#elector) await this.#candidate(this.#elector, signal);
      else await this.#lead(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      // told to stop before the caches were filled; anything else that failed by then is worth a line
      if (error !== signal.reason) this.#logger.warn({ err: error }, 'failed while stopping');
    } finally {
      await Promise.all(this.#informers.map((informer) => informer.stop()));
    }
  }

  /**
   * Leads whenever it holds the lease. A lease that is lost stops the work, and the process is a candidate again (ADR 16); only where the
   * work has not stopped by the time that another may begin, the process has to go.
   */
  async #candidate(elector: LeaderElector, signal: AbortSignal): Promise<void> {
    for (;;) {
      let work: Promise<void> = Promise.resolve();
      try {
        await elector.run(signal, (leading) => (work = this.#lead(leading)));
        return;
      } catch (error) {
        if (!(error instanceof LeadershipLostError)) throw error;
        const over = new AbortController();
        const late = pause(elector.graceMs, over.signal).then(() => 'late' as const);
        const outcome = await Promise.race([work, late]);
        over.abort();
        if (outcome === 'late') throw error;
        this.#logger.info({}, 'all work has stopped; waiting for the lease again');
      }
    }
  }

  /** All of it until the signal; the first that fails or ends early stops the others. */
  async #lead(signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const all = AbortSignal.any([signal, stop.signal]);
    this.#leads = true;
    try {
      const results = await Promise.allSettled(
        this.#runnables.map(async ({ name, run }) => {
          try {
            await run(all);
            if (!all.aborted) throw new Error(`${name} ended by itself`);
          } finally {
            stop.abort();
          }
        }),
      );
      for (const result of results) if (result.status === 'rejected') throw result.reason as Error;
    } finally {
      this.#leads = false;
    }
  }
}
