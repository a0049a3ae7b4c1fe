import { Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Condition } from '../api/r2rdeployment-status.ts';
import type { ObjectMeta } from '../kube/index.ts';

/** A resource with conditions, of either kind. */
export interface Conditioned {
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly status?: { readonly conditions?: readonly Condition[] | undefined } | undefined;
}

/** These are as they should be when they are False; all others when they are True. */
const goodWhenFalse: ReadonlySet<string> = new Set(['Reconciling', 'Stalled']);
/** Says that something is under way, and nothing about whether it is right. */
const silent: ReadonlySet<string> = new Set(['Reconciling']);

/**
 * One series for each condition that is not as it should be, none for the others: however many resources there are, monitoring keeps only
 * those that need somebody. `namespace` and `name` are the resource's: whoever scrapes must keep them (`honorLabels`).
 *
 * @param resources - the caches, read at each scrape
 */
export function publishConditions(registry: Registry, resources: () => Iterable<Conditioned>): void {
  const gauge: Gauge<'kind' | 'namespace' | 'name' | 'type' | 'status' | 'reason'> = new Gauge({
    name: 'r2r_operator_condition_problem',
    help: '1 for each condition of a resource that is not as it should be.',
    labelNames: ['kind', 'namespace', 'name', 'type', 'status', 'reason'],
    registers: [registry],
    collect() {
      gauge.reset();
      for (const { kind, metadata, status } of resources()) {
        for (const { type, status: is, reason } of status?.conditions ?? []) {
          if (silent.has(type) || (is === 'True') !== goodWhenFalse.has(type)) continue;
          gauge.set({ kind, namespace: metadata.namespace ?? '', name: metadata.name ?? '', type, status: is, reason }, 1);
        }
      }
    },
  });
}
