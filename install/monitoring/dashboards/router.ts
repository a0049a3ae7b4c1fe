import type { JsonObject } from '../../../src/manifests/index.ts';
import { deploymentVariables } from './deployment.ts';
import { processPanels } from './operator.ts';
import { dashboard, quantiles } from './panels.ts';

const some = 'namespace="$namespace",r2r_deployment="$deployment",pod=~"$pod"';
const rate = '$__rate_interval';

/** The token loop of single routers: what drafting, scoring and consulting cost, and what they bring. */
export function routerDashboard(): JsonObject {
  return dashboard({
    uid: 'r2r-router',
    title: 'R2R / Router',
    about: 'Routers one by one: the token loop, the router network, and the steps of R2RRouters.',
    variables: [
      ...deploymentVariables,
      {
        name: 'pod',
        label: 'Pod',
        query: 'label_values(r2r_ready{namespace="$namespace",r2r_deployment="$deployment"}, pod)',
        multi: true,
      },
    ],
    rows: [
      {
        title: 'Token loop',
        panels: [
          {
            title: 'Tokens from the LLM, last minute',
            unit: 'percentunit',
            queries: [{ expr: `r2r_llm_ratio{${some}}`, legend: '{{pod}}' }],
          },
          {
            title: 'Tokens of a block',
            about: 'Drafted on the SLM, and used of them.',
            queries: [
              {
                expr: `sum by (kind) (rate(r2r_block_tokens_sum{${some}}[${rate}])) / sum by (kind) (rate(r2r_block_tokens_count{${some}}[${rate}]))`,
                legend: '{{kind}}',
              },
            ],
          },
          {
            title: 'Blocks a second',
            unit: 'ops',
            queries: [{ expr: `sum by (pod) (rate(r2r_blocks_total{${some}}[${rate}]))`, legend: '{{pod}}' }],
          },
          { title: 'Time of a step', unit: 's', queries: quantiles('r2r_step_duration_seconds', some, ['kind']) },
          {
            title: 'Divergent tokens a second',
            about: 'ahead: asked before an earlier answer was there; used: the answer was taken.',
            unit: 'ops',
            queries: [
              {
                expr: `sum by (ahead, used) (rate(r2r_llm_consultations_total{${some}}[${rate}]))`,
                legend: 'ahead {{ahead}}, used {{used}}',
              },
            ],
          },
          { title: 'Being answered', queries: [{ expr: `r2r_requests_in_flight{${some}}`, legend: '{{pod}}' }] },
        ],
      },
      {
        title: 'Router network',
        panels: [
          {
            title: 'Rows scored a second',
            about: 'Counted since the bundle was loaded.',
            unit: 'ops',
            queries: [{ expr: `sum by (pod) (rate(r2r_network_scored_rows{${some}}[${rate}]))`, legend: '{{pod}}' }],
          },
          {
            title: 'Rows of a batch',
            queries: [
              {
                expr: `sum by (pod) (rate(r2r_network_scored_rows{${some}}[${rate}])) / sum by (pod) (rate(r2r_network_batches{${some}}[${rate}]))`,
                legend: '{{pod}}',
              },
            ],
          },
          {
            title: 'Time it is busy',
            unit: 'percentunit',
            queries: [{ expr: `sum by (pod) (rate(r2r_network_busy_seconds{${some}}[${rate}]))`, legend: '{{pod}}' }],
          },
          { title: 'Rows that wait', queries: [{ expr: `r2r_network_waiting_rows{${some}}`, legend: '{{pod}}' }] },
          {
            title: 'Spread of the raw logits',
            about: 'Above 0.3 the SLM’s server does not answer with what the network was trained on.',
            queries: [
              { expr: `r2r_network_logit_spread_max{${some}}`, legend: '{{pod}} largest' },
              { expr: `r2r_network_logit_spread_wide_share{${some}}`, legend: '{{pod}} share above 0.3' },
            ],
          },
          {
            title: 'Up, and threads lost',
            queries: [
              { expr: `r2r_network_up{${some}}`, legend: '{{pod}} up' },
              { expr: `r2r_network_failures{${some}}`, legend: '{{pod}} lost' },
            ],
          },
        ],
      },
      { title: 'Process', panels: processPanels(`r2r_component="router",${some}`) },
      {
        title: 'R2RRouters of the namespace: steps that run',
        panels: [
          {
            title: 'Done',
            unit: 'percentunit',
            queries: [
              {
                expr:
                  'sum by (r2r_router, step) (r2r_pipeline_done{namespace="$namespace"}) / ' +
                  '(sum by (r2r_router, step) (r2r_pipeline_total{namespace="$namespace"}) > 0)',
                legend: '{{r2r_router}} {{step}}',
              },
            ],
          },
          {
            title: 'Units and tokens a second',
            unit: 'ops',
            queries: [
              { expr: 'sum by (r2r_router, step) (r2r_pipeline_per_second{namespace="$namespace"})', legend: '{{r2r_router}} {{step}}' },
              {
                expr: 'sum by (r2r_router, step) (r2r_pipeline_tokens_per_second{namespace="$namespace"})',
                legend: '{{r2r_router}} {{step}} tokens',
              },
            ],
          },
          {
            title: 'Model servers in use',
            unit: 'percentunit',
            queries: [
              {
                expr: 'avg by (r2r_router, step) (r2r_pipeline_engine_utilisation{namespace="$namespace"})',
                legend: '{{r2r_router}} {{step}}',
              },
            ],
          },
        ],
      },
    ],
  });
}
