/** What somebody should be told of. docs/monitoring.md has a heading for each, with what to do. */
import { recorded } from './recordings.ts';

export interface Alert {
  readonly name: string;
  readonly expr: string;
  /** How long it must hold. */
  readonly for: string;
  /** `critical`: requests are not answered, or nobody looks after them. `warning`: somebody should look today. `info`: worth knowing. */
  readonly severity: 'critical' | 'warning' | 'info';
  /** One line, with the labels that say of what. */
  readonly summary: string;
  readonly description: string;
}

const operator = '{r2r_component="operator"}';
const ofDeployment = 'by (namespace, r2r_deployment)';
const deployment = 'R2RDeployment {{ $labels.namespace }}/{{ $labels.r2r_deployment }}';
export const resource = '{{ $labels.kind }} {{ $labels.namespace }}/{{ $labels.name }}';

/** Every replica of the operator has the same caches. */
export const problem = (matchers: string): string =>
  `max by (kind, namespace, name, type, reason) (r2r_operator_condition_problem{${matchers}}) > 0`;

export const operatorAlerts: readonly Alert[] = [
  {
    name: 'R2ROperatorDown',
    expr: `absent(up${operator} == 1)`,
    for: '5m',
    severity: 'critical',
    summary: 'No operator of R2R can be scraped',
    description: 'Deployments that run go on answering, but nobody replaces what fails, scales, or takes over changes.',
  },
  {
    name: 'R2ROperatorNoLeader',
    expr: `absent(leader_election_master_status${operator} == 1)`,
    for: '5m',
    severity: 'critical',
    summary: 'No replica of the operator leads',
    description: 'Replicas run, but none holds the lease r2r-operator: nothing is reconciled.',
  },
  {
    name: 'R2ROperatorReconcileErrors',
    expr:
      `sum by (controller) (rate(controller_runtime_reconcile_errors_total${operator}[5m])) / ` +
      `sum by (controller) (rate(controller_runtime_reconcile_total${operator}[5m])) > 0.1`,
    for: '15m',
    severity: 'warning',
    summary: '{{ $value | humanizePercentage }} of the reconciles of {{ $labels.controller }} fail',
    description: 'They are tried again with growing pauses; the operator’s log has the errors with the resources’ names.',
  },
  {
    name: 'R2ROperatorReconcileStuck',
    expr: `max by (name) (workqueue_longest_running_processor_seconds${operator}) > 300`,
    for: '5m',
    severity: 'warning',
    summary: 'A reconcile of {{ $labels.name }} has been running for {{ $value | humanizeDuration }}',
    description: 'A reconcile ends after 120 s at the latest unless the process hangs.',
  },
  {
    name: 'R2ROperatorCacheStale',
    expr: `min by (pod, resource) (kube_informer_synced${operator}) == 0`,
    for: '10m',
    severity: 'warning',
    summary: 'The operator’s pod {{ $labels.pod }} has not listed {{ $labels.name }}',
    description: 'It decides nothing before its caches are filled; a missing right or a missing CRD is the usual cause.',
  },
  {
    name: 'R2ROperatorApiErrors',
    expr:
      `sum(rate(kube_client_requests_total{r2r_component="operator",code=~"5..|broken"}[5m])) / ` +
      `sum(rate(kube_client_requests_total${operator}[5m])) > 0.05`,
    for: '15m',
    severity: 'warning',
    summary: '{{ $value | humanizePercentage }} of the operator’s calls to the API server fail',
    description: 'Calls are tried again; what users see is delay.',
  },
];

export const deploymentAlerts: readonly Alert[] = [
  {
    name: 'R2RNotReady',
    expr: problem('type="Ready",kind="R2RDeployment"'),
    for: '15m',
    severity: 'critical',
    summary: `${resource} is not ready: {{ $labels.reason }}`,
    description: 'The condition Ready has a sentence about why.',
  },
  {
    name: 'R2RStalled',
    expr: problem('type="Stalled"'),
    for: '5m',
    severity: 'warning',
    summary: `${resource} is stalled: {{ $labels.reason }}`,
    description: 'What the spec asks for cannot be reached before somebody changes it. What ran before goes on.',
  },
  {
    name: 'R2RNoRouterReady',
    expr: `sum ${ofDeployment} (r2r_ready) == 0`,
    for: '2m',
    severity: 'critical',
    summary: `No router of ${deployment} takes requests`,
    description: 'Its routers run, but each waits for something; clients get no answer.',
  },
  {
    name: 'R2RRouterNotScraped',
    expr: 'up{r2r_component="router"} == 0',
    for: '10m',
    severity: 'warning',
    summary: 'The router of pod {{ $labels.namespace }}/{{ $labels.pod }} cannot be scraped',
    description: 'Its numbers are stale here. Where all routers are concerned, a NetworkPolicy may keep Prometheus out.',
  },
  {
    name: 'R2RFallbackTokens',
    expr: `${recorded.fallbackShare} > 0.01`,
    for: '5m',
    severity: 'warning',
    summary: `{{ $value | humanizePercentage }} of the tokens of ${deployment} are the SLM’s in place of the LLM’s`,
    description: 'The LLM did not answer in time (llmTimeout), so answers are worse than they should be, and marked as degraded.',
  },
  {
    name: 'R2RRoutingRatioUnusual',
    // the half hour before against the day before it: four standard deviations, and five points at least; a changed threshold is meant
    expr:
      `abs(avg_over_time(${recorded.llmShare}[30m]) - avg_over_time(${recorded.llmShare}[1d] offset 1h)) > 0.05 and ` +
      `abs(avg_over_time(${recorded.llmShare}[30m]) - avg_over_time(${recorded.llmShare}[1d] offset 1h)) > ` +
      `4 * stddev_over_time(${recorded.llmShare}[1d] offset 1h) and ` +
      `count_over_time(${recorded.llmShare}[1d] offset 1h) > 300 unless on (namespace, r2r_deployment) ` +
      `max ${ofDeployment} (changes(r2r_threshold[1d])) > 0`,
    for: '15m',
    severity: 'warning',
    summary: `The share of the LLM in ${deployment} differs from yesterday’s by {{ $value | humanizePercentage }}`,
    description: 'Other requests than usual, or a model server that computes other than the one the router was trained on.',
  },
  {
    name: 'R2RInsufficientCapacity',
    expr: problem('reason="InsufficientCapacity",type=~"SLMReady|LLMReady|ScalingReady|JobsReady"'),
    for: '10m',
    severity: 'warning',
    summary: `Pods of ${resource} wait for room: {{ $labels.type }}`,
    description: 'The scheduler finds no node for them, mostly for want of GPUs.',
  },
  {
    name: 'R2RRouterAlarm',
    expr: `max by (namespace, r2r_deployment, reason) (r2r_alarm) > 0`,
    for: '10m',
    severity: 'warning',
    summary: `Routers of ${deployment} raise the alarm {{ $labels.reason }}`,
    description: 'They serve, but routing does not do what it is for.',
  },
  {
    name: 'R2RRequestsFailing',
    expr:
      `sum ${ofDeployment} (rate(r2r_requests_total{code=~"5.."}[5m])) / ` + `sum ${ofDeployment} (rate(r2r_requests_total[5m])) > 0.05`,
    for: '5m',
    severity: 'critical',
    summary: `{{ $value | humanizePercentage }} of the requests to ${deployment} fail`,
    description: 'With an error of ours; what clients did wrong does not count.',
  },
  {
    name: 'R2RLLMCallsFailing',
    expr:
      `sum ${ofDeployment} (rate(r2r_llm_calls_total{outcome="failed"}[5m])) / ` +
      `sum ${ofDeployment} (rate(r2r_llm_calls_total[5m])) > 0.05`,
    for: '10m',
    severity: 'warning',
    summary: `{{ $value | humanizePercentage }} of the calls to the LLM of ${deployment} fail`,
    description: 'They are tried on another replica; when none is left, onLLMUnavailable decides.',
  },
  {
    name: 'R2RWaitingForLLM',
    expr: `sum ${ofDeployment} (r2r_llm_waiting_calls) > 0`,
    for: '2m',
    severity: 'critical',
    summary: `Requests to ${deployment} wait for an LLM replica`,
    description: 'No replica takes calls, and onLLMUnavailable is Wait: clients get no further token until one does.',
  },
  {
    name: 'R2RLLMReplicaUnavailable',
    expr:
      'max by (namespace, r2r_deployment, endpoint) (r2r_llm_endpoint_available) == 0 and ' +
      'max by (namespace, r2r_deployment, endpoint) (r2r_llm_endpoint_draining) == 0',
    for: '10m',
    severity: 'warning',
    summary: `No router of ${deployment} can use the LLM replica {{ $labels.endpoint }}`,
    description: 'It does not answer, or was started in a way that routing cannot work with.',
  },
  {
    name: 'R2RLLMSaturated',
    expr:
      'min by (namespace, r2r_deployment) (max by (namespace, r2r_deployment, endpoint) (r2r_llm_endpoint_queued_requests)) > 4 or ' +
      'min by (namespace, r2r_deployment) (max by (namespace, r2r_deployment, endpoint) (r2r_llm_endpoint_kv_usage)) > 0.95',
    for: '10m',
    severity: 'warning',
    summary: `Every LLM replica of ${deployment} has more to do than it can`,
    description: 'Requests wait on each replica, or its cache is full: tokens that go to the LLM are late.',
  },
  {
    name: 'R2RConfigurationRefused',
    expr: `sum ${ofDeployment} (increase(r2r_config_errors_total[15m])) > 0`,
    for: '1m',
    severity: 'warning',
    summary: `Routers of ${deployment} refuse their configuration`,
    description: 'The one before stays in force.',
  },
];

export const routerAlerts: readonly Alert[] = [
  {
    name: 'R2RLabellingStuck',
    // it was there half an hour ago, is not done, and has not moved
    expr: '(r2r_pipeline_done < r2r_pipeline_total) and changes(r2r_pipeline_done[30m]) == 0 and ' + '(r2r_pipeline_done offset 30m >= 0)',
    for: '10m',
    severity: 'warning',
    summary: 'Step {{ $labels.step }} of R2RRouter {{ $labels.namespace }}/{{ $labels.r2r_router }} has not moved for 40 minutes',
    description: 'Its pod runs and counts nothing. Mostly its model server does not answer.',
  },
  {
    name: 'R2RGateRefused',
    expr: problem('kind="R2RRouter",type="GatePassed",status="False"'),
    for: '5m',
    severity: 'info',
    summary: `${resource} has made a bundle that its gate refuses: {{ $labels.reason }}`,
    description: 'Deployments keep the bundle they have.',
  },
  {
    name: 'R2RRolledBack',
    expr: problem('kind="R2RRouter",type="RolledOut",reason="RolledBack"'),
    for: '1m',
    severity: 'warning',
    summary: `A deployment went back from a bundle of ${resource}`,
    description: 'Its routers refused it, crashed, or reported errors or an alarm; the others keep theirs.',
  },
];
