import type { KubeClient } from './client.ts';
import type { Controller } from './controller.ts';
import type { Informer, InformerOptions } from './informer.ts';
import type { LeaderElectorOptions } from './lease.ts';
import type { Logger } from './logger.ts';
import type { KubeMetrics } from './metrics.ts';
import type { KubeObject } from './object.ts';
import type { ResourceType } from './resource-type.ts';

export interface ManagerOptions {
  readonly client: KubeClient;
  readonly logger?: Logger;
  readonly metrics?: KubeMetrics;
  /** Absent: no election, this process is the only one. */
  readonly election?: Pick<LeaderElectorOptions, 'namespace' | 'name' | 'identity' | 'leaseMs' | 'renewDeadlineMs' | 'retryMs'>;
}

/** Runs an operator: informers in every replica (a warm cache), controllers and runnables in the leader. */
export declare class Manager {
  constructor(options: ManagerOptions);
  /** Makes an informer that starts and stops with the manager. */
  informer<T extends KubeObject>(type: ResourceType<T>, options?: Omit<InformerOptions<T>, 'logger' | 'metrics'>): Informer<T>;
  add(controller: Controller): this;
  /** Something else that only the leader does; must return when the signal aborts. */
  addRunnable(name: string, run: (signal: AbortSignal) => Promise<void>): this;
  /** For `/readyz`: the caches are filled. */
  get ready(): boolean;
  /** For `/healthz`: undefined when well, else what is wrong. */
  get problem(): string | undefined;
  get isLeader(): boolean;
  /** Until `signal` aborts (resolves when all has stopped and the lease is released), or something fails (rejects: exit non-zero). */
  run(signal: AbortSignal): Promise<void>;
}
