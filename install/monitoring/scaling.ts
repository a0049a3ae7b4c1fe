/** What concerns autoscaling. */
import { problem, resource } from './alerts.ts';
import type { Alert } from './alerts.ts';
import type { Row } from './dashboards/panels.ts';

export const scalingAlerts: readonly Alert[] = [
  {
    name: 'R2RScalingMetricsStale',
    expr: problem('type="ScalingReady",reason="StaleMetrics"'),
    for: '10m',
    severity: 'warning',
    summary: `Autoscaling of ${resource} has no fresh numbers`,
    description: 'The pools keep the size they have until routers answer the operator again.',
  },
  {
    name: 'R2RPoolAtMaximum',
    expr: 'max by (namespace, name, pool) (r2r_operator_scaling_reason{reason=~"AtMaximum|GpuBudgetReached"}) > 0',
    for: '30m',
    severity: 'warning',
    summary: 'The pool {{ $labels.pool }} of R2RDeployment {{ $labels.namespace }}/{{ $labels.name }} may not grow any more',
    description: 'More replicas are wanted than maxReplicas or gpuBudget allow.',
  },
];

const one = 'namespace="$namespace",name="$deployment"';

export const scalingRows: readonly Row[] = [
  {
    title: 'Autoscaling',
    panels: [
      {
        title: 'Replicas that are wanted',
        queries: [{ expr: `max by (pool) (r2r_operator_scaling_wanted_replicas{${one}})`, legend: '{{pool}}' }],
      },
      {
        title: 'Demand, and what one replica can do, a second',
        queries: [
          { expr: `max by (pool) (r2r_operator_scaling_demand{${one}})`, legend: '{{pool}} demand' },
          { expr: `max by (pool) (r2r_operator_scaling_capacity_per_replica{${one}})`, legend: '{{pool}} of one replica' },
        ],
      },
      {
        title: 'Why',
        queries: [{ expr: `max by (pool, reason) (r2r_operator_scaling_reason{${one}})`, legend: '{{pool}} {{reason}}' }],
      },
    ],
  },
];
