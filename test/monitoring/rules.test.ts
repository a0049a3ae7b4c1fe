import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { alerts, dashboards, ruleGroups } from '../../install/monitoring/index.ts';
import { targetLabels } from '../../install/monitoring/pod-monitors.ts';
import { recorded, recordings } from '../../install/monitoring/recordings.ts';
import { run } from '../cluster/commands.ts';
import { prometheusPrograms, type PrometheusPrograms } from '../support/prometheus/programs.ts';
import { alertCases } from './alert-cases.ts';
import { scraped, type Scraped } from './scraped.ts';

interface Parsed {
  readonly error?: string;
  readonly selectors: readonly { readonly metric: string; readonly labels: readonly string[] }[];
  readonly grouping: readonly string[];
}

interface Expression {
  readonly where: string;
  readonly expr: string;
}

/** Labels that prometheus-operator gives every target of a PodMonitor; `endpoint` is taken off again. */
const podLabels = ['namespace', 'pod', 'container', 'job', 'instance'];

describe('rules and dashboards', function () {
  this.timeout(3_600_000);
  let programs: PrometheusPrograms;
  let pages: Scraped;
  let folder: string;

  before(async () => {
    programs = await prometheusPrograms((line) => {
      console.log(`    ${line}`);
    });
    pages = await scraped();
    folder = mkdtempSync(join(tmpdir(), 'r2r-rules-'));
    writeFileSync(join(folder, 'rules.yaml'), stringify({ groups: ruleGroups() }, { aliasDuplicateObjects: false }));
  });
  after(() => rmSync(folder, { recursive: true }));

  const expressions = (): readonly Expression[] => [
    ...recordings.map(({ record, expr }) => ({ where: record, expr })),
    ...alerts.map(({ name, expr }) => ({ where: name, expr })),
    ...Object.entries(dashboards()).flatMap(([name, dashboard]) => dashboardExpressions(name, dashboard)),
  ];

  it('name only series that the operator, routers and steps really have, and labels that these have', async () => {
    const all = expressions();
    const parsed = JSON.parse(await run(programs.promql, [], { input: JSON.stringify(all.map(({ expr }) => expr)) })) as readonly Parsed[];
    const known = new Map<string, Set<string>>();
    for (const component of ['operator', 'router', 'pipeline'] as const) {
      const ofTarget = [...podLabels, ...targetLabels[component]];
      for (const [name, labels] of pages[component]) known.set(name, new Set([...(known.get(name) ?? []), ...labels, ...ofTarget]));
    }
    known.set('up', new Set([...podLabels, ...Object.values(targetLabels).flat()]));
    for (const name of Object.values(recorded)) known.set(name, new Set(['namespace', 'r2r_deployment']));
    const wrong = parsed.flatMap(({ error, selectors, grouping }, index) => {
      const { where = '', expr = '' } = all[index] ?? {};
      if (error !== undefined) return [`${where}: ${error}: ${expr}`];
      const missing = selectors.filter(({ metric }) => !known.has(metric)).map(({ metric }) => `${where}: there is no ${metric}`);
      const matched = selectors.flatMap(({ metric, labels }) =>
        labels.filter((label) => known.get(metric)?.has(label) === false).map((label) => `${where}: ${metric} has no label ${label}`),
      );
      const grouped = grouping
        .filter((label) => !selectors.some(({ metric }) => known.get(metric)?.has(label)))
        .map((label) => `${where}: nothing in it has the label ${label}`);
      return [...missing, ...matched, ...grouped];
    });
    assert.deepEqual(wrong, []);
    assert.ok(all.length > 80, `${all.length} expressions`);
  });

  it('are rules that promtool takes', async () => {
    const out = await run(programs.promtool, ['check', 'rules', '--lint=all', '--lint-fatal', join(folder, 'rules.yaml')]);
    assert.match(out, new RegExp(`SUCCESS: ${alerts.length + recordings.length} rules found`));
  });

  it('fire when they should, and not when something like it is well: each alert, both ways', async () => {
    for (const { name } of alerts)
      assert.deepEqual(
        [true, false].map((fires) => alertCases.some((each) => each.alert === name && each.fires === fires)),
        [true, true],
        `${name} has no case`,
      );
    const present = alertCases.filter(({ alert }) => alerts.some(({ name }) => name === alert));
    const tests = present.map(({ alert, about, series, at, fires }) => ({
      name: `${alert}: ${about}`,
      interval: '1m',
      input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
      promql_expr_test: [
        {
          expr: `count by (alertname) (ALERTS{alertname="${alert}",alertstate="firing"})`,
          eval_time: at,
          exp_samples: fires ? [{ labels: `{alertname="${alert}"}`, value: 1 }] : [],
        },
      ],
    }));
    const file = join(folder, 'cases.yaml');
    writeFileSync(file, stringify({ rule_files: ['rules.yaml'], evaluation_interval: '1m', tests }, { aliasDuplicateObjects: false }));
    assert.match(await run(programs.promtool, ['test', 'rules', file], { timeoutMs: 600_000 }), /SUCCESS/);
  });

  it('say in their summary what is concerned', async () => {
    const [series = ''] = Object.keys(alertCases.find(({ alert, fires }) => alert === 'R2RInsufficientCapacity' && fires)?.series ?? {});
    const tests = [
      {
        interval: '1m',
        input_series: [{ series, values: '1x30' }],
        alert_rule_test: [
          {
            alertname: 'R2RInsufficientCapacity',
            eval_time: '15m',
            exp_alerts: [
              {
                exp_labels: {
                  severity: 'warning',
                  kind: 'R2RDeployment',
                  namespace: 'models',
                  name: 'chat',
                  type: 'LLMReady',
                  reason: 'InsufficientCapacity',
                },
                exp_annotations: {
                  summary: 'Pods of R2RDeployment models/chat wait for room: LLMReady',
                  description: 'The scheduler finds no node for them, mostly for want of GPUs.',
                  runbook_url: 'https://github.com/r2r-kubernetes/r2r-kubernetes/blob/main/docs/monitoring.md#r2rinsufficientcapacity',
                },
              },
            ],
          },
        ],
      },
    ];
    const file = join(folder, 'summary.yaml');
    writeFileSync(file, stringify({ rule_files: ['rules.yaml'], evaluation_interval: '1m', tests }));
    assert.match(await run(programs.promtool, ['test', 'rules', file]), /SUCCESS/);
  });
});

describe('what is generated from install/monitoring', () => {
  it('is checked in as it is generated, for a Prometheus without prometheus-operator and for Grafana', () => {
    assert.deepEqual(parse(readFileSync('install/monitoring/rules.yaml', 'utf8')), { groups: ruleGroups() });
    for (const [name, dashboard] of Object.entries(dashboards()))
      assert.deepEqual(JSON.parse(readFileSync(`install/monitoring/dashboards/${name}.json`, 'utf8')), dashboard, 'run npm run generate');
  });

  it('has a heading with what to do for each alert in docs/monitoring.md', () => {
    const page = readFileSync('docs/monitoring.md', 'utf8');
    assert.deepEqual(
      alerts.map(({ name }) => name).filter((name) => !page.includes(`\n### ${name}\n`)),
      [],
    );
  });
});

/** With Grafana's variables filled in, as it does before it asks. */
function dashboardExpressions(name: string, dashboard: object): readonly Expression[] {
  const { panels, templating } = dashboard as {
    readonly panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[];
    readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
  };
  const filled = (expr: string): string => expr.replaceAll('$__rate_interval', '5m').replaceAll(/\$(namespace|deployment|pod)\b/g, 'x');
  return [
    ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ where: `${name}: ${title}`, expr: filled(expr) }))),
    ...templating.list.flatMap(({ name: variable, definition }) => {
      const [, selector, label] = /^label_values\((.*), (\w+)\)$/.exec(definition ?? '') ?? [];
      return selector === undefined
        ? []
        : [{ where: `${name}: variable ${variable}`, expr: `count by (${label ?? ''}) (${filled(selector)})` }];
    }),
  ];
}
