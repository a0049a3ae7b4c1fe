import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import type { PoolName } from './policy.ts';
import type { PoolScaler } from './pool-scaler.ts';

export interface ScaledView {
  /** `namespace/name` of the deployment. */
  readonly key: string;
  readonly pool: PoolName;
  readonly scaler: PoolScaler;
}

/** What autoscaling wants and why, read at each scrape. */
export class ScalingMetrics {
  /** Decisions that changed a pool. */
  readonly decisions: Counter<'pool' | 'reason'>;
  readonly #registers: Registry[];

  constructor(registry: Registry) {
    this.#registers = [registry];
    this.decisions = new Counter({
      name: 'r2r_operator_scaling_decisions_total',
      help: 'Decisions that changed the number of replicas of a pool, by reason.',
      labelNames: ['pool', 'reason'],
      registers: this.#registers,
    });
  }

  publish(views: () => Iterable<ScaledView>): void {
    const labels = ({ key, pool }: ScaledView) => {
      const [namespace = '', name = ''] = key.split('/');
      return { namespace, name, pool };
    };
    const gauge = (name: string, help: string, valueOf: (scaler: PoolScaler) => number | undefined): void => {
      const made = new Gauge({
        name: `r2r_operator_scaling_${name}`,
        help,
        labelNames: ['namespace', 'name', 'pool'],
        registers: this.#registers,
        collect: () => {
          made.reset();
          for (const view of views()) {
            const value = valueOf(view.scaler);
            if (value !== undefined) made.set(labels(view), value);
          }
        },
      });
    };
    gauge('wanted_replicas', 'Replicas that autoscaling wants.', ({ wanted }) => wanted);
    gauge('demand', 'Average demand, calls (LLM) or drafted tokens (SLM) a second.', ({ shown }) => shown?.inputs.demandPerSecond);
    gauge('capacity_per_replica', 'What one replica can do a second.', ({ shown }) => shown?.inputs.capacityPerReplica);
    const reason = new Gauge({
      name: 'r2r_operator_scaling_reason',
      help: 'Why a pool has the size it has: 1 for the reason that holds; the others are absent.',
      labelNames: ['namespace', 'name', 'pool', 'reason'],
      registers: this.#registers,
      collect: () => {
        reason.reset();
        for (const view of views()) {
          const { shown } = view.scaler;
          if (shown) reason.set({ ...labels(view), reason: shown.reason }, 1);
        }
      },
    });
  }
}
