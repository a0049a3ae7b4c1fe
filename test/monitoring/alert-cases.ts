/** For each alert, series with which it fires, and series close to them with which it must not. A value a minute, in promtool's notation. */

export interface AlertCase {
  readonly alert: string;
  /** What the case is about, in a word. */
  readonly about: string;
  readonly series: Readonly<Record<string, string>>;
  readonly at: string;
  readonly fires: boolean;
}

const one = 'namespace="models",r2r_deployment="chat",pod="a"';
const another = 'namespace="models",r2r_deployment="chat",pod="b"';
const condition = (kind: string, type: string, status: string, reason: string, pod = 'o1'): string =>
  `r2r_operator_condition_problem{r2r_component="operator",pod="${pod}",kind="${kind}",namespace="models",name="chat",type="${type}",status="${status}",reason="${reason}"}`;
const operator = (pod: string, more = ''): string => `{r2r_component="operator",pod="${pod}"${more}}`;
const step = '{namespace="models",r2r_router="math",step="respond",shard="0",pod="p"}';
const endpoint = '{namespace="models",r2r_deployment="chat",pod="a",endpoint="http://10.0.0.1:30000",pod_uid="u"}';
/** More than a day of one share, then another. */
const shifted = { llm: '0+10x1500 15040+40x180', slm: '0+90x1500 135060+60x180' };

export const alertCases: readonly AlertCase[] = [
  { alert: 'R2ROperatorDown', about: 'none is scraped', series: { 'up{r2r_component="router"}': '1x20' }, at: '10m', fires: true },
  {
    ...{ alert: 'R2ROperatorDown', about: 'one of two is down', at: '10m', fires: false },
    series: { [`up${operator('o1')}`]: '0x20', [`up${operator('o2')}`]: '1x20' },
  },
  {
    ...{ alert: 'R2ROperatorNoLeader', about: 'both wait', at: '10m', fires: true },
    series: { [`leader_election_master_status${operator('o1')}`]: '0x20', [`leader_election_master_status${operator('o2')}`]: '0x20' },
  },
  {
    ...{ alert: 'R2ROperatorNoLeader', about: 'one leads', at: '10m', fires: false },
    series: { [`leader_election_master_status${operator('o1')}`]: '0x20', [`leader_election_master_status${operator('o2')}`]: '1x20' },
  },
  {
    ...{ alert: 'R2ROperatorReconcileErrors', about: 'half of them', at: '30m', fires: true },
    series: {
      [`controller_runtime_reconcile_errors_total${operator('o1', ',controller="r2rdeployment"')}`]: '0+10x40',
      [`controller_runtime_reconcile_total${operator('o1', ',controller="r2rdeployment",result="error"')}`]: '0+10x40',
      [`controller_runtime_reconcile_total${operator('o1', ',controller="r2rdeployment",result="success"')}`]: '0+10x40',
    },
  },
  {
    ...{ alert: 'R2ROperatorReconcileErrors', about: 'one in a hundred', at: '30m', fires: false },
    series: {
      [`controller_runtime_reconcile_errors_total${operator('o1', ',controller="r2rdeployment"')}`]: '0+1x40',
      [`controller_runtime_reconcile_total${operator('o1', ',controller="r2rdeployment",result="success"')}`]: '0+99x40',
    },
  },
  {
    ...{ alert: 'R2ROperatorReconcileStuck', about: 'for seven minutes', at: '10m', fires: true },
    series: { [`workqueue_longest_running_processor_seconds${operator('o1', ',name="r2rdeployment"')}`]: '400x20' },
  },
  {
    ...{ alert: 'R2ROperatorReconcileStuck', about: 'a long one', at: '10m', fires: false },
    series: { [`workqueue_longest_running_processor_seconds${operator('o1', ',name="r2rdeployment"')}`]: '110x20' },
  },
  {
    ...{ alert: 'R2ROperatorCacheStale', about: 'a right is missing', at: '15m', fires: true },
    series: { [`kube_informer_synced${operator('o1', ',resource="jobs.batch"')}`]: '0x20' },
  },
  {
    ...{ alert: 'R2ROperatorCacheStale', about: 'just started', at: '15m', fires: false },
    series: { [`kube_informer_synced${operator('o1', ',resource="jobs.batch"')}`]: '0x5 1x20' },
  },
  {
    ...{ alert: 'R2ROperatorApiErrors', about: 'one in six', at: '30m', fires: true },
    series: {
      [`kube_client_requests_total${operator('o1', ',verb="patch",resource="services",code="500"')}`]: '0+10x40',
      [`kube_client_requests_total${operator('o1', ',verb="patch",resource="services",code="200"')}`]: '0+50x40',
    },
  },
  {
    ...{ alert: 'R2ROperatorApiErrors', about: 'conflicts are no errors', at: '30m', fires: false },
    series: {
      [`kube_client_requests_total${operator('o1', ',verb="patch",resource="services",code="409"')}`]: '0+10x40',
      [`kube_client_requests_total${operator('o1', ',verb="patch",resource="services",code="200"')}`]: '0+50x40',
    },
  },
  {
    ...{ alert: 'R2RNotReady', about: 'seen by both replicas of the operator, told of once', at: '20m', fires: true },
    series: {
      [condition('R2RDeployment', 'Ready', 'False', 'PodsNotReady', 'o1')]: '1x30',
      [condition('R2RDeployment', 'Ready', 'False', 'PodsNotReady', 'o2')]: '1x30',
    },
  },
  {
    ...{ alert: 'R2RNotReady', about: 'a router that is being made', at: '20m', fires: false },
    series: { [condition('R2RRouter', 'Ready', 'False', 'Running')]: '1x30' },
  },
  {
    ...{ alert: 'R2RStalled', about: 'a wrong spec', at: '10m', fires: true },
    series: { [condition('R2RDeployment', 'Stalled', 'True', 'SpecInvalid')]: '1x30' },
  },
  {
    ...{ alert: 'R2RStalled', about: 'something else', at: '10m', fires: false },
    series: { [condition('R2RDeployment', 'Ready', 'False', 'PodsNotReady')]: '1x30' },
  },
  {
    alert: 'R2RNoRouterReady',
    about: 'both wait',
    series: { [`r2r_ready{${one}}`]: '0x10', [`r2r_ready{${another}}`]: '0x10' },
    at: '5m',
    fires: true,
  },
  {
    alert: 'R2RNoRouterReady',
    about: 'one of two',
    series: { [`r2r_ready{${one}}`]: '0x10', [`r2r_ready{${another}}`]: '1x10' },
    at: '5m',
    fires: false,
  },
  {
    alert: 'R2RWaitingForLLM',
    about: 'at one of two routers',
    series: { [`r2r_llm_waiting_calls{${one}}`]: '3x10', [`r2r_llm_waiting_calls{${another}}`]: '0x10' },
    at: '5m',
    fires: true,
  },
  {
    alert: 'R2RWaitingForLLM',
    about: 'a replica came back',
    series: { [`r2r_llm_waiting_calls{${one}}`]: '3 3 0x10', [`r2r_llm_waiting_calls{${another}}`]: '0x10' },
    at: '5m',
    fires: false,
  },
  { alert: 'R2RRouterNotScraped', about: 'kept out', series: { [`up{r2r_component="router",${one}}`]: '0x20' }, at: '15m', fires: true },
  { alert: 'R2RRouterNotScraped', about: 'another’s', series: { 'up{job="node"}': '0x20' }, at: '15m', fires: false },
  {
    ...{ alert: 'R2RFallbackTokens', about: 'one in twenty', at: '15m', fires: true },
    series: {
      [`r2r_tokens_total{${one},source="slm"}`]: '0+65x20',
      [`r2r_tokens_total{${one},source="llm"}`]: '0+30x20',
      [`r2r_tokens_total{${one},source="fallback"}`]: '0+5x20',
    },
  },
  {
    ...{ alert: 'R2RFallbackTokens', about: 'long ago', at: '30m', fires: false },
    series: {
      [`r2r_tokens_total{${one},source="slm"}`]: '0+65x40',
      [`r2r_tokens_total{${one},source="llm"}`]: '0+30x40',
      [`r2r_tokens_total{${one},source="fallback"}`]: '500x40',
    },
  },
  {
    ...{ alert: 'R2RRoutingRatioUnusual', about: '10 % for a day, then 40 %', at: '1570m', fires: true },
    series: {
      [`r2r_tokens_total{${one},source="slm"}`]: shifted.slm,
      [`r2r_tokens_total{${one},source="llm"}`]: shifted.llm,
      [`r2r_threshold{${one}}`]: '0.5x1680',
    },
  },
  {
    ...{ alert: 'R2RRoutingRatioUnusual', about: 'the threshold was changed', at: '1570m', fires: false },
    series: {
      [`r2r_tokens_total{${one},source="slm"}`]: shifted.slm,
      [`r2r_tokens_total{${one},source="llm"}`]: shifted.llm,
      [`r2r_threshold{${one}}`]: '0.5x1500 0.3x180',
    },
  },
  {
    ...{ alert: 'R2RRoutingRatioUnusual', about: 'an hour old', at: '80m', fires: false },
    series: {
      [`r2r_tokens_total{${one},source="slm"}`]: '0+90x40 3660+60x60',
      [`r2r_tokens_total{${one},source="llm"}`]: '0+10x40 440+40x60',
    },
  },
  {
    ...{ alert: 'R2RInsufficientCapacity', about: 'no GPU', at: '15m', fires: true },
    series: { [condition('R2RDeployment', 'LLMReady', 'False', 'InsufficientCapacity')]: '1x30' },
  },
  {
    ...{ alert: 'R2RInsufficientCapacity', about: 'pods that start', at: '15m', fires: false },
    series: { [condition('R2RDeployment', 'LLMReady', 'False', 'PodsNotReady')]: '1x30' },
  },
  {
    alert: 'R2RRouterAlarm',
    about: 'slower than the LLM',
    series: { [`r2r_alarm{${one},reason="SlowerThanLLM"}`]: '1x20' },
    at: '15m',
    fires: true,
  },
  {
    alert: 'R2RRouterAlarm',
    about: 'over by then',
    series: { [`r2r_alarm{${one},reason="SlowerThanLLM"}`]: '1x5 _x20' },
    at: '15m',
    fires: false,
  },
  {
    ...{ alert: 'R2RRequestsFailing', about: 'one in eleven', at: '12m', fires: true },
    series: { [`r2r_requests_total{${one},code="200"}`]: '0+10x20', [`r2r_requests_total{${one},code="503"}`]: '0+1x20' },
  },
  {
    ...{ alert: 'R2RRequestsFailing', about: 'clients’ errors', at: '12m', fires: false },
    series: { [`r2r_requests_total{${one},code="200"}`]: '0+10x20', [`r2r_requests_total{${one},code="400"}`]: '0+10x20' },
  },
  {
    ...{ alert: 'R2RLLMCallsFailing', about: 'one in ten', at: '17m', fires: true },
    series: {
      [`r2r_llm_calls_total{${one},kind="token",outcome="ok"}`]: '0+9x20',
      [`r2r_llm_calls_total{${one},kind="token",outcome="failed"}`]: '0+1x20',
    },
  },
  {
    ...{ alert: 'R2RLLMCallsFailing', about: 'asked ahead and not needed', at: '17m', fires: false },
    series: {
      [`r2r_llm_calls_total{${one},kind="token",outcome="ok"}`]: '0+9x20',
      [`r2r_llm_calls_total{${one},kind="token",outcome="cancelled"}`]: '0+9x20',
    },
  },
  {
    ...{ alert: 'R2RLLMReplicaUnavailable', about: 'it does not answer', at: '15m', fires: true },
    series: { [`r2r_llm_endpoint_available${endpoint}`]: '0x20', [`r2r_llm_endpoint_draining${endpoint}`]: '0x20' },
  },
  {
    ...{ alert: 'R2RLLMReplicaUnavailable', about: 'it is drained', at: '15m', fires: false },
    series: { [`r2r_llm_endpoint_available${endpoint}`]: '0x20', [`r2r_llm_endpoint_draining${endpoint}`]: '1x20' },
  },
  {
    ...{ alert: 'R2RLLMSaturated', about: 'the only replica', at: '15m', fires: true },
    series: { [`r2r_llm_endpoint_queued_requests${endpoint}`]: '9x20' },
  },
  {
    ...{ alert: 'R2RLLMSaturated', about: 'another one is free', at: '15m', fires: false },
    series: {
      [`r2r_llm_endpoint_queued_requests${endpoint}`]: '9x20',
      [`r2r_llm_endpoint_queued_requests${endpoint.replace('0.1', '0.2')}`]: '0x20',
    },
  },
  { alert: 'R2RConfigurationRefused', about: 'once', series: { [`r2r_config_errors_total{${one}}`]: '0x5 1x20' }, at: '10m', fires: true },
  {
    alert: 'R2RConfigurationRefused',
    about: 'long ago',
    series: { [`r2r_config_errors_total{${one}}`]: '0x5 1x60' },
    at: '40m',
    fires: false,
  },
  {
    ...{ alert: 'R2RLabellingStuck', about: 'it has stopped', at: '80m', fires: true },
    series: { [`r2r_pipeline_done${step}`]: '0+10x30 300x60', [`r2r_pipeline_total${step}`]: '1000x90' },
  },
  {
    ...{ alert: 'R2RLabellingStuck', about: 'it is slow', at: '80m', fires: false },
    series: { [`r2r_pipeline_done${step}`]: '0x15 1x15 2x15 3x15 4x30', [`r2r_pipeline_total${step}`]: '1000x90' },
  },
  {
    ...{ alert: 'R2RLabellingStuck', about: 'it is done', at: '80m', fires: false },
    series: { [`r2r_pipeline_done${step}`]: '1000x90', [`r2r_pipeline_total${step}`]: '1000x90' },
  },
  {
    ...{ alert: 'R2RLabellingStuck', about: 'it has just begun', at: '35m', fires: false },
    series: { [`r2r_pipeline_done${step}`]: '0x40', [`r2r_pipeline_total${step}`]: '1000x40' },
  },
  {
    ...{ alert: 'R2RGateRefused', about: 'recall too low', at: '10m', fires: true },
    series: { [condition('R2RRouter', 'GatePassed', 'False', 'RecallTooLow')]: '1x30' },
  },
  {
    ...{ alert: 'R2RGateRefused', about: 'nothing made yet', at: '10m', fires: false },
    series: { [condition('R2RRouter', 'GatePassed', 'Unknown', 'NoBundle')]: '1x30' },
  },
  {
    ...{ alert: 'R2RRolledBack', about: 'from a bundle', at: '5m', fires: true },
    series: { [condition('R2RRouter', 'RolledOut', 'False', 'RolledBack')]: '1x30' },
  },
  {
    ...{ alert: 'R2RRolledBack', about: 'on its way', at: '5m', fires: false },
    series: { [condition('R2RRouter', 'RolledOut', 'False', 'RollingOut')]: '1x30' },
  },
  {
    ...{ alert: 'R2RScalingMetricsStale', about: 'routers do not answer', at: '15m', fires: true },
    series: { [condition('R2RDeployment', 'ScalingReady', 'False', 'StaleMetrics')]: '1x30' },
  },
  {
    ...{ alert: 'R2RScalingMetricsStale', about: 'no capacity is another alert', at: '15m', fires: false },
    series: { [condition('R2RDeployment', 'ScalingReady', 'False', 'InsufficientCapacity')]: '1x30' },
  },
  {
    ...{ alert: 'R2RPoolAtMaximum', about: 'for an hour', at: '60m', fires: true },
    series: {
      'r2r_operator_scaling_reason{r2r_component="operator",pod="o1",namespace="models",name="chat",pool="llm",reason="AtMaximum"}': '1x60',
    },
  },
  {
    ...{ alert: 'R2RPoolAtMaximum', about: 'at rest', at: '60m', fires: false },
    series: {
      'r2r_operator_scaling_reason{r2r_component="operator",pod="o1",namespace="models",name="chat",pool="llm",reason="Steady"}': '1x60',
    },
  },
];
