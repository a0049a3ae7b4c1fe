import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import manifest from '../../package.json' with { type: 'json' };
import { chartFolder } from '../../tools/install/chart.ts';

interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec?: Readonly<Record<string, unknown>>;
}

const { version } = manifest;
const objects = globSync('examples/gitops/{argo-cd,flux}/*.yaml').flatMap((file) =>
  parseAllDocuments(readFileSync(file, 'utf8')).map((document) => ({ file, ...(document.toJSON() as Resource) })),
);
const ofKind = (kind: string) => objects.filter((each) => each.kind === kind);

describe('the examples for GitOps', () => {
  it('are of the kinds that Argo CD and Flux have', () => {
    const kinds = [...new Set(objects.map(({ kind }) => kind))].sort();
    assert.deepEqual(kinds, ['Application', 'ConfigMap', 'GitRepository', 'HelmRelease', 'Kustomization', 'OCIRepository']);
  });

  it('name sources that their own file has', () => {
    for (const { file, spec } of objects) {
      const source = (spec?.sourceRef ?? spec?.chartRef) as { kind: string; name: string } | undefined;
      if (!source) continue;
      assert.ok(
        objects.some((each) => each.file === file && each.kind === source.kind && each.metadata.name === source.name),
        `${file}: ${source.kind} ${source.name}`,
      );
    }
  });

  it('name this version and the chart as it is called', () => {
    const [operator] = ofKind('Application').map(({ spec }) => spec?.source as { repoURL: string; chart: string; targetRevision: string });
    assert.deepEqual(operator && [`${operator.repoURL}/${operator.chart}`, operator.targetRevision], [
      'ghcr.io/r2r-kubernetes/charts/r2r-kubernetes',
      version,
    ]);
    const [chart] = ofKind('OCIRepository').map(({ spec }) => spec as unknown as { url: string; ref: { semver: string } });
    assert.equal(chart?.url, 'oci://ghcr.io/r2r-kubernetes/charts/r2r-kubernetes');
    assert.equal(chart.ref.semver, version.replace(/\d+$/, 'x'));
    assert.ok(chartFolder.endsWith('/r2r-kubernetes'));
    const tags = ofKind('GitRepository').flatMap(({ spec }) => (spec?.ref as { tag?: string }).tag ?? []);
    assert.deepEqual(tags, [`v${version}`]);
  });

  it('name folders of this repository that are there', () => {
    const [overlay] = ofKind('Kustomization').filter(({ metadata }) => metadata.name === 'r2r-operator');
    assert.ok(readFileSync(`${String(overlay?.spec?.path)}/kustomization.yaml`, 'utf8'));
  });

  it('have every script of argocd-cm.yaml in a file of its own', () => {
    const [config] = ofKind('ConfigMap') as unknown as [{ data: Readonly<Record<string, string>> }];
    assert.deepEqual(Object.keys(config.data), [
      'resource.customizations.health.r2r.dev_R2RDeployment',
      'resource.customizations.health.r2r.dev_R2RRouter',
    ]);
    for (const [key, script] of Object.entries(config.data)) {
      const kind = key.slice(key.indexOf('_') + 1);
      assert.equal(script, readFileSync(`examples/gitops/argo-cd/r2r.dev/${kind}/health.lua`, 'utf8'));
    }
  });
});
