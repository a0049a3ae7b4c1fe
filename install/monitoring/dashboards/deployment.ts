import type { JsonObject } from '../../../src/manifests/index.ts';
import { recorded } from '../recordings.ts';
import { scalingRows } from '../scaling.ts';
import { dashboard, quantiles } from './panels.ts';

const one = 'namespace="$namespace",r2r_deployment="$deployment"';
const rate = '$__rate_interval';

/** Does it answer, how much comes from the LLM, does the pool of LLM replicas keep up. */
export function deploymentDashboard(): JsonObject {
  return dashboard({
    uid: 'r2r-deployment',
    title: 'R2R / Deployment',
    about: 'One R2RDeployment: requests, tokens by source, and its LLM replicas as its routers see them.',
    variables: deploymentVariables,
    rows: [
      {
        title: 'Overview',
        panels: [
          {
            title: 'Tokens from the LLM',
            kind: 'stat',
            unit: 'percentunit',
            queries: [{ expr: `${recorded.llmShare}{${one}}`, legend: '' }],
          },
          { title: 'Tokens a second', kind: 'stat', queries: [{ expr: `${recorded.tokens}{${one}}`, legend: '' }] },
          {
            title: 'Routers that take requests',
            kind: 'stat',
            queries: [
              { expr: `sum(r2r_ready{${one}})`, legend: 'ready' },
              { expr: `count(r2r_ready{${one}})`, legend: 'in all' },
            ],
          },
        ],
      },
      {
        title: 'Tokens',
        panels: [
          {
            title: 'Tokens a second, by source',
            stacked: true,
            about: 'fallback: the SLM’s in place of the LLM’s, which did not answer in time.',
            queries: [{ expr: `sum by (source) (rate(r2r_tokens_total{${one}}[${rate}]))`, legend: '{{source}}' }],
          },
          {
            title: 'Shares',
            unit: 'percentunit',
            queries: [
              { expr: `${recorded.llmShare}{${one}}`, legend: 'LLM' },
              { expr: `${recorded.fallbackShare}{${one}}`, legend: 'fallback' },
            ],
          },
          {
            title: 'Threshold and alarms',
            queries: [
              { expr: `max(r2r_threshold{${one}})`, legend: 'threshold' },
              { expr: `sum by (reason) (r2r_alarm{${one}})`, legend: '{{reason}}' },
            ],
          },
        ],
      },
      {
        title: 'Requests',
        panels: [
          {
            title: 'Answered a second, by HTTP status',
            unit: 'reqps',
            stacked: true,
            queries: [{ expr: `sum by (code) (rate(r2r_requests_total{${one}}[${rate}]))`, legend: '{{code}}' }],
          },
          { title: 'Being answered', queries: [{ expr: `sum by (pod) (r2r_requests_in_flight{${one}})`, legend: '{{pod}}' }] },
          {
            title: 'Configurations refused',
            queries: [{ expr: `sum(increase(r2r_config_errors_total{${one}}[${rate}]))`, legend: 'refused' }],
          },
        ],
      },
      {
        title: 'LLM',
        panels: [
          {
            title: 'Calls a second',
            unit: 'reqps',
            queries: [{ expr: `sum by (kind, outcome) (rate(r2r_llm_calls_total{${one}}[${rate}]))`, legend: '{{kind}} {{outcome}}' }],
          },
          { title: 'Time of a call', unit: 's', queries: quantiles('r2r_llm_call_duration_seconds', one, ['kind']) },
          {
            title: 'Primed prompt tokens a second',
            queries: [{ expr: `sum(rate(r2r_llm_primed_tokens_total{${one}}[${rate}]))`, legend: 'tokens' }],
          },
        ],
      },
      {
        title: 'LLM replicas, as routers see them',
        panels: [
          {
            title: 'Available and draining',
            queries: [
              { expr: `max by (endpoint) (r2r_llm_endpoint_available{${one}})`, legend: '{{endpoint}}' },
              { expr: `-max by (endpoint) (r2r_llm_endpoint_draining{${one}})`, legend: '{{endpoint}} draining' },
            ],
          },
          {
            title: 'Running and waiting requests',
            queries: [
              { expr: `max by (endpoint) (r2r_llm_endpoint_running_requests{${one}})`, legend: '{{endpoint}} running' },
              { expr: `max by (endpoint) (r2r_llm_endpoint_queued_requests{${one}})`, legend: '{{endpoint}} waiting' },
            ],
          },
          {
            title: 'KV cache in use',
            unit: 'percentunit',
            queries: [{ expr: `max by (endpoint) (r2r_llm_endpoint_kv_usage{${one}})`, legend: '{{endpoint}}' }],
          },
          {
            title: 'Calls in flight',
            queries: [{ expr: `sum by (endpoint) (r2r_llm_endpoint_in_flight{${one}})`, legend: '{{endpoint}}' }],
          },
        ],
      },
      ...scalingRows,
    ],
  });
}

export const deploymentVariables = [
  { name: 'namespace', label: 'Namespace', query: 'label_values(r2r_ready, namespace)' },
  { name: 'deployment', label: 'R2RDeployment', query: 'label_values(r2r_ready{namespace="$namespace"}, r2r_deployment)' },
] as const;
