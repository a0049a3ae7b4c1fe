import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import { findCondition } from '../api/conditions.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';

/** Metrics of R2RDeployments as the operator sees them, beside controller-runtime's own. */
export class OperatorMetrics {
  /** Probe requests to new revisions, by result: `ok` or `failed`. */
  readonly probes: Counter<'result'>;
  /** Endpoints moved to a new revision. */
  readonly rollouts: Counter;

  /** @param deployments - the cache, read at each scrape */
  constructor(registry: Registry, deployments: () => readonly R2RDeployment[]) {
    const registers = [registry];
    this.probes = new Counter({
      name: 'r2r_operator_probes_total',
      help: 'Probe requests to new revisions.',
      labelNames: ['result'],
      registers,
    });
    this.rollouts = new Counter({ name: 'r2r_operator_rollouts_total', help: 'Endpoints moved to a new revision.', registers });
    const byReady = new Gauge({
      name: 'r2r_operator_deployments',
      help: 'R2RDeployments by the status of their Ready condition.',
      labelNames: ['ready'],
      registers,
      collect() {
        const counts = { True: 0, False: 0, Unknown: 0 };
        for (const { status } of deployments()) counts[findCondition(status?.conditions, 'Ready')?.status ?? 'Unknown'] += 1;
        for (const [ready, count] of Object.entries(counts)) byReady.set({ ready }, count);
      },
    });
  }
}
