import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, Chart, Lazy, Testing } from 'cdk8s';
import { parseAllDocuments } from 'yaml';
import { R2RDeployment, R2RRouter } from '../../src/cdk8s/index.ts';
import type { R2RDeploymentProps, R2RDeploymentSpec, R2RRouterSpec } from '../../src/cdk8s/index.ts';

const slm = { model: '/models/slm', engine: 'CPU' } as const;
const llm = { model: '/models/llm', engine: 'CPU' } as const;

/** What synth says is wrong; empty when it writes a manifest. */
function problemsOf(add: (chart: Chart) => unknown): string {
  const outdir = mkdtempSync(join(tmpdir(), 'r2r-constructs-'));
  const app = new App({ outdir });
  add(new Chart(app, 'test'));
  try {
    app.synth();
    return '';
  } catch (error) {
    return String(error);
  } finally {
    rmSync(outdir, { recursive: true });
  }
}

const deployment = (spec: object, metadata: R2RDeploymentProps['metadata'] = { name: 'demo' }) =>
  problemsOf((chart) => new R2RDeployment(chart, 'demo', { metadata, spec: spec as R2RDeploymentSpec }));

describe('the cdk8s constructs', () => {
  it('write what was given and no defaults, which are the API server’s', () => {
    const chart = Testing.chart();
    const demo = new R2RDeployment(chart, 'demo', { metadata: { name: 'demo', namespace: 'models' }, spec: { slm, llm } });
    assert.deepEqual(Testing.synth(chart), [
      { apiVersion: 'r2r.dev/v1alpha1', kind: 'R2RDeployment', metadata: { name: 'demo', namespace: 'models' }, spec: { slm, llm } },
    ]);
    assert.equal(demo.endpoint, 'http://demo.models.svc');
  });

  it('say where the endpoint is over TLS', () => {
    const spec = { slm, llm, api: { tls: { secretName: 'certificate' } } };
    assert.equal(new R2RDeployment(Testing.chart(), 'demo', { metadata: { name: 'demo' }, spec }).endpoint, 'https://demo');
  });

  for (const file of ['r2rdeployment', 'r2rdeployment-secured', 'r2rdeployment-sglang-cpu', 'r1-1.5b-32b', 'r2rrouter']) {
    it(`take examples/${file}.yaml`, () => {
      const objects = parseAllDocuments(readFileSync(`examples/${file}.yaml`, 'utf8')).map(
        (each) => each.toJSON() as { kind: string; metadata: { name: string }; spec: object },
      );
      for (const { kind, metadata, spec } of objects) {
        if (kind === 'R2RDeployment') assert.equal(deployment(spec, metadata), '');
        if (kind === 'R2RRouter')
          assert.equal(
            problemsOf((chart) => new R2RRouter(chart, 'r', { metadata, spec: spec as R2RRouterSpec })),
            '',
          );
      }
    });
  }

  it('let a deployment follow a router by its construct', () => {
    const chart = Testing.chart();
    const router = new R2RRouter(chart, 'router', {
      metadata: { name: 'math' },
      spec: { preset: 'tiny', source: { labels: { path: 'pvc://data/labels' } } },
    });
    assert.deepEqual(router.checkpoint, { routerRef: { name: 'math' } });
  });

  it('look at lazy values as they will be written', () => {
    const spec = { slm, llm: { ...llm, replicas: Lazy.any({ produce: () => -1 }) as number } };
    assert.match(deployment(spec), /spec\.llm\.replicas: /);
  });

  const wrong: readonly (readonly [what: string, spec: object, message: RegExp])[] = [
    ['a value of the wrong type', { slm, llm: { ...llm, replicas: 'two' } }, /spec\.llm\.replicas: /],
    ['a value out of bounds', { slm, llm: { ...llm, replicas: -1 } }, /spec\.llm\.replicas: /],
    ['a word that is none of the choices', { slm: { ...slm, engine: 'cpu' }, llm }, /spec\.slm\.engine: /],
    ['a missing part', { slm }, /spec\.llm: /],
    ['a field that is not there', { slm, llm: { ...llm, replica: 2 } }, /spec\.llm\.replica: there is no such field; there are model, /],
  ];
  for (const [what, spec, message] of wrong) {
    it(`refuse ${what} at synth, naming it`, () => {
      assert.match(deployment(spec), message);
    });
  }

  it('leave what is free-form alone', () => {
    assert.equal(deployment({ slm: { ...slm, podTemplate: { spec: { anything: { at: 'all' } } } }, llm }), '');
  });

  it('refuse a name that the API server would refuse', () => {
    assert.match(deployment({ slm, llm }, { name: 'x'.repeat(41) }), /metadata\.name: x{41} has 41 characters/);
    assert.match(deployment({ slm, llm }, { name: '1st' }), /metadata\.name: 1st must start with a letter/);
  });
});
