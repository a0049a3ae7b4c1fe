import type { JsonObject } from '../../../src/manifests/index.ts';
import { dashboard, quantiles } from './panels.ts';

const own = 'r2r_component="operator"';
const rate = '$__rate_interval';

/** Is it alive, does it keep up, what does it cost the API server. */
export function operatorDashboard(): JsonObject {
  return dashboard({
    uid: 'r2r-operator',
    title: 'R2R / Operator',
    about: 'The operator: leadership, reconciles, its calls to the API server, its caches.',
    variables: [],
    rows: [
      {
        title: 'Overview',
        panels: [
          {
            title: 'R2RDeployments by Ready',
            kind: 'stat',
            queries: [{ expr: `max by (ready) (r2r_operator_deployments{${own}})`, legend: '{{ready}}' }],
          },
          {
            title: 'R2RRouters by phase',
            kind: 'stat',
            queries: [{ expr: `max by (phase) (r2r_operator_routers{${own}})`, legend: '{{phase}}' }],
          },
          {
            title: 'Leader',
            kind: 'stat',
            about: 'One replica leads.',
            queries: [{ expr: `leader_election_master_status{${own}}`, legend: '{{pod}}' }],
          },
        ],
      },
      {
        title: 'What is not as it should be',
        panels: [
          {
            title: 'Conditions',
            kind: 'table',
            queries: [
              {
                expr: `max by (kind, namespace, name, type, status, reason) (r2r_operator_condition_problem{${own}})`,
                legend: '',
              },
            ],
          },
        ],
      },
      {
        title: 'Reconciles',
        panels: [
          {
            title: 'Reconciles a second',
            unit: 'ops',
            queries: [
              {
                expr: `sum by (controller, result) (rate(controller_runtime_reconcile_total{${own}}[${rate}]))`,
                legend: '{{controller}} {{result}}',
              },
            ],
          },
          {
            title: 'Errors a second',
            unit: 'ops',
            queries: [
              { expr: `sum by (controller) (rate(controller_runtime_reconcile_errors_total{${own}}[${rate}]))`, legend: '{{controller}}' },
              {
                expr: `sum by (controller) (rate(controller_runtime_terminal_reconcile_errors_total{${own}}[${rate}]))`,
                legend: '{{controller}} not tried again',
              },
            ],
          },
          { title: 'Time of a reconcile', unit: 's', queries: quantiles('controller_runtime_reconcile_time_seconds', own, ['controller']) },
          {
            title: 'Waiting keys',
            queries: [{ expr: `sum by (name) (workqueue_depth{${own}})`, legend: '{{name}}' }],
          },
          { title: 'Time a key waits', unit: 's', queries: quantiles('workqueue_queue_duration_seconds', own, ['name']) },
          {
            title: 'Oldest work under way',
            unit: 's',
            queries: [{ expr: `max by (name) (workqueue_longest_running_processor_seconds{${own}})`, legend: '{{name}}' }],
          },
        ],
      },
      {
        title: 'API server',
        panels: [
          {
            title: 'Calls a second',
            unit: 'reqps',
            queries: [
              { expr: `sum by (verb, resource) (rate(kube_client_requests_total{${own}}[${rate}]))`, legend: '{{verb}} {{resource}}' },
            ],
          },
          {
            title: 'Calls that fail, a second',
            unit: 'reqps',
            queries: [
              {
                expr: `sum by (verb, resource, code) (rate(kube_client_requests_total{${own},code!~"2.."}[${rate}]))`,
                legend: '{{verb}} {{resource}} {{code}}',
              },
            ],
          },
          { title: 'Time of a call', unit: 's', queries: quantiles('kube_client_request_duration_seconds', own, ['verb']) },
        ],
      },
      {
        title: 'Caches',
        panels: [
          { title: 'Objects', queries: [{ expr: `max by (resource) (kube_informer_objects{${own}})`, legend: '{{resource}}' }] },
          {
            title: 'Watches that ended, a second',
            unit: 'ops',
            queries: [
              { expr: `sum by (resource, end) (rate(kube_informer_watches_total{${own}}[${rate}]))`, legend: '{{resource}} {{end}}' },
            ],
          },
          {
            title: 'Differences found by resyncs',
            about: 'More than none is a defect: a watch lost something.',
            queries: [{ expr: `sum by (resource) (increase(kube_informer_cache_misses_total{${own}}[${rate}]))`, legend: '{{resource}}' }],
          },
        ],
      },
      {
        title: 'Roll-outs and events',
        panels: [
          {
            title: 'Endpoints moved',
            queries: [{ expr: `sum(increase(r2r_operator_rollouts_total{${own}}[1h]))`, legend: 'in an hour' }],
          },
          {
            title: 'Probes of new revisions',
            queries: [{ expr: `sum by (result) (increase(r2r_operator_probes_total{${own}}[1h]))`, legend: '{{result}} in an hour' }],
          },
          {
            title: 'Events',
            unit: 'ops',
            queries: [{ expr: `sum by (outcome) (rate(kube_events_total{${own}}[${rate}]))`, legend: '{{outcome}}' }],
          },
        ],
      },
      { title: 'Process', panels: processPanels(own) },
    ],
  });
}

/** Of a Node.js process. */
export function processPanels(matchers: string) {
  return [
    { title: 'Memory', unit: 'bytes', queries: [{ expr: `process_resident_memory_bytes{${matchers}}`, legend: '{{pod}}' }] },
    {
      title: 'CPU',
      about: 'Cores in use.',
      queries: [{ expr: `rate(process_cpu_seconds_total{${matchers}}[${rate}])`, legend: '{{pod}}' }],
    },
    { title: 'Event loop delay, p99', unit: 's', queries: [{ expr: `nodejs_eventloop_lag_p99_seconds{${matchers}}`, legend: '{{pod}}' }] },
  ] as const;
}
