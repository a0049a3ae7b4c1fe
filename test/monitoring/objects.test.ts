import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'cdk8s';
import { parseAllDocuments } from 'yaml';
import { Installation } from '../../install/installation.ts';
import { dashboards, monitoringObjects, podMonitors } from '../../install/monitoring/index.ts';
import type { KubeObject } from '../../src/manifests/index.ts';
import type { ApiServer } from '../api/api-server.ts';
import { apiServer } from '../api/api-server.ts';
import { until } from '../router/stage.ts';
import { prometheusOperatorCrds } from '../support/prometheus/programs.ts';
import { example, render, workload } from '../manifests/rendering.ts';

interface Template {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly containers: readonly { readonly ports?: readonly { readonly name: string; readonly containerPort: number }[] }[];
  };
}

interface PodMonitor {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly namespaceSelector: { readonly matchNames?: readonly string[]; readonly any?: boolean };
    readonly selector: {
      readonly matchLabels: Readonly<Record<string, string>>;
      readonly matchExpressions?: readonly { readonly key: string; readonly values: readonly string[] }[];
    };
    readonly podMetricsEndpoints: readonly {
      readonly port: string;
      readonly relabelings: readonly { readonly sourceLabels?: readonly string[] }[];
    }[];
  };
}

const monitor = (component: string): PodMonitor =>
  podMonitors().find(({ metadata }) => metadata.name === `r2r-${component}`) as unknown as PodMonitor;

function selects({ spec }: PodMonitor, { metadata }: Template): boolean {
  const { matchLabels, matchExpressions = [] } = spec.selector;
  return (
    Object.entries(matchLabels).every(([key, value]) => metadata.labels[key] === value) &&
    matchExpressions.every(({ key, values }) => !values.includes(metadata.labels[key] ?? ''))
  );
}

describe('PodMonitors', () => {
  const operator = (
    new Installation(new App(), 'install', {
      operatorImage: 'o',
      routerImage: 'r',
      trainerImage: 't',
      version: '1',
    }).toJson() as KubeObject[]
  ).find(({ kind }) => kind === 'Deployment') as unknown as { readonly spec: { readonly template: Template } };
  const children = render(example('r2rdeployment.yaml'));
  const pods: Readonly<Record<string, Template>> = {
    operator: operator.spec.template,
    router: workload(children, 'slm').spec.template as unknown as Template,
    llm: workload(children, 'llm').spec.template as unknown as Template,
    pipeline: jobTemplate('respond'),
    train: jobTemplate('train'),
  };

  it('select the pods that there are, each its own, and neither model servers nor the trainer', () => {
    for (const component of ['operator', 'router', 'pipeline'])
      assert.deepEqual(
        Object.entries(pods)
          .filter(([, pod]) => selects(monitor(component), pod))
          .map(([name]) => name),
        [component],
      );
  });

  it('scrape a port that these pods have, and take labels that they have', () => {
    for (const component of ['operator', 'router', 'pipeline'] as const) {
      const [scraped] = monitor(component).spec.podMetricsEndpoints;
      const pod = pods[component];
      assert.ok(pod);
      assert.ok(
        pod.spec.containers.some(({ ports = [] }) => ports.some(({ name }) => name === scraped?.port)),
        component,
      );
      const labels = Object.keys(pod.metadata.labels).map((label) => `__meta_kubernetes_pod_label_${label.replaceAll(/\W/g, '_')}`);
      for (const { sourceLabels = [] } of scraped?.relabelings ?? [])
        for (const label of sourceLabels) assert.ok(labels.includes(label), `${component}: ${label} is none of ${labels.join(', ')}`);
    }
  });

  function jobTemplate(step: string): Template {
    const golden = parseAllDocuments(readFileSync('test/golden/router-tiny.yaml', 'utf8')).map((each) => each.toJSON() as KubeObject);
    const job = golden.find(({ kind, metadata }) => kind === 'Job' && metadata.name.includes(`-${step}-`));
    assert.ok(job, `test/golden/router-tiny.yaml has no Job ${step}`);
    return (job.spec as unknown as { readonly template: Template }).template;
  }
});

describe('dashboards', () => {
  it('have panels side by side within Grafana’s 24 columns, none over another, each with its own id', () => {
    for (const [name, dashboard] of Object.entries(dashboards())) {
      const { panels } = dashboard as unknown as { panels: { id: number; gridPos: { x: number; y: number; w: number; h: number } }[] };
      assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length, name);
      const taken = new Set<string>();
      for (const { gridPos } of panels)
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
            assert.ok(x < 24 && !taken.has(`${x} ${y}`), `${name} at ${x} ${y}`);
            taken.add(`${x} ${y}`);
          }
    }
  });
});

describe('monitoring, on a real API server with the CRDs of prometheus-operator', function () {
  this.timeout(900_000);
  let server: ApiServer;

  before(async () => {
    server = await apiServer();
    const files = await prometheusOperatorCrds((line) => {
      console.log(`    ${line}`);
    });
    for (const file of files) {
      const definition = parseAllDocuments(readFileSync(file, 'utf8'))[0]?.toJSON() as {
        metadata: { name: string };
        spec: { names: { plural: string } };
      };
      const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${definition.metadata.name}?fieldManager=test&force=true`;
      const { status, body } = await server.send('PATCH', path, definition, 'application/apply-patch+yaml');
      assert.ok(status <= 201, body.message);
      const list = `/apis/monitoring.coreos.com/v1/${definition.spec.names.plural}`;
      await until(async () => (await server.send('GET', list)).status === 200, `${list} is served`, 120_000);
    }
  });
  after(() => server.close());

  it('is valid to the last field, and the same when it is applied again', async () => {
    const namespace = await server.namespace('monitoring');
    for (const object of monitoringObjects({ namespace, labels: { release: 'kube-prometheus-stack' } })) {
      const root = object.apiVersion === 'v1' ? '/api/v1' : `/apis/${object.apiVersion}`;
      const path = `${root}/namespaces/${namespace}/${object.kind.toLowerCase()}s/${object.metadata.name}?fieldManager=test&force=true&fieldValidation=Strict`;
      const versions: unknown[] = [];
      for (let time = 0; time < 2; time++) {
        const { status, body } = await server.send('PATCH', path, object, 'application/apply-patch+yaml');
        assert.ok(status <= 201, `${object.kind} ${object.metadata.name}: ${body.message ?? ''}`);
        versions.push((body.metadata as { resourceVersion: string }).resourceVersion);
      }
      assert.equal(versions[0], versions[1], `${object.kind} ${object.metadata.name}`);
    }
  });
});

describe('npm run synth', function () {
  this.timeout(180_000);
  it('writes monitoring.yaml beside install.yaml, with the labels that are asked for', () => {
    const folder = mkdtempSync(join(tmpdir(), 'r2r-monitoring-'));
    try {
      execFileSync(process.execPath, ['node_modules/cdk8s-cli/bin/cdk8s', 'synth', '--check-upgrade=false', '--output', folder], {
        stdio: 'pipe',
        env: { ...process.env, R2R_MONITORING_LABELS: 'release=kube-prometheus-stack' },
      });
      const objects = parseAllDocuments(readFileSync(join(folder, 'monitoring.yaml'), 'utf8')).map((each) => each.toJSON() as KubeObject);
      assert.deepEqual(
        objects.map(({ kind, metadata }) => [kind, metadata.name, (metadata.labels as Record<string, string>).release ?? '']),
        monitoringObjects().map(({ kind, metadata }) => [kind, metadata.name, kind === 'ConfigMap' ? '' : 'kube-prometheus-stack']),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
