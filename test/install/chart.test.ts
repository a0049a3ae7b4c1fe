/** The chart as both Helm versions render it, without a cluster. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import type { InstalledObject } from '../../tools/install/objects.ts';
import { CommandError } from '../cluster/commands.ts';
import { Helm, helmVersions } from './helm.ts';
import { assertSameObjects, monitoring, synthesised, withoutKeep } from './objects.ts';

interface GitOpsExample {
  readonly spec: { readonly values?: object; readonly source?: { readonly helm?: { readonly valuesObject?: object } } };
}

const chart = 'charts/r2r-kubernetes';
const isCrd = ({ kind }: InstalledObject) => kind === 'CustomResourceDefinition';
const isNamespace = ({ kind }: InstalledObject) => kind === 'Namespace';

for (const version of helmVersions) {
  describe(`the chart, by Helm ${version}`, function () {
    this.timeout(60 * 60_000);
    let helm: Helm;
    const folder = mkdtempSync(join(tmpdir(), 'r2r-chart-'));

    before('build Helm', async () => {
      helm = await Helm.of(version);
    });
    after(() => {
      rmSync(folder, { recursive: true });
    });

    /** Renders with these values, given as a file as people do. */
    const withValues = (values: object): Promise<readonly InstalledObject[]> => {
      const file = join(folder, 'values.yaml');
      writeFileSync(file, stringify(values));
      return helm.template(chart, '--values', file);
    };
    const refusal = async (values: object): Promise<string> => {
      try {
        await withValues(values);
      } catch (error) {
        if (error instanceof CommandError) return error.stderr;
        throw error;
      }
      assert.fail(`taken: ${JSON.stringify(values)}`);
    };
    const operatorOf = (objects: readonly InstalledObject[]) => {
      const deployment = objects.find(({ kind }) => kind === 'Deployment');
      assert.ok(deployment);
      return deployment as unknown as {
        metadata: { namespace: string };
        spec: {
          replicas: number;
          template: { spec: Record<string, unknown> & { containers: [Record<string, unknown> & { args: string[] }] } };
        };
      };
    };

    it('is the version that go.mod pins', async () => {
      assert.match(await helm.run(['version', '--short']), new RegExp(`^v${version}\\.`));
    });

    it('passes lint', async () => {
      assert.match(await helm.run(['lint', '--strict', chart]), /0 chart\(s\) failed/);
    });

    it('renders with its defaults what cdk8s synthesises, but for the namespace, which Helm makes', async () => {
      const rendered = withoutKeep(await helm.template(chart));
      assertSameObjects(
        rendered,
        synthesised().filter((each) => !isNamespace(each)),
      );
    });

    it('renders the namespace, too, where it is told to make another one than the release has', async () => {
      const rendered = withoutKeep(await withValues({ namespace: { create: true, name: 'r2r-other' } }));
      assertSameObjects(rendered, synthesised({ namespace: 'r2r-other' }));
    });

    it('has Helm keep the CRDs, unless crds.keep is false', async () => {
      const policies = (objects: readonly InstalledObject[]) =>
        objects.filter(isCrd).map(({ metadata }) => metadata.annotations?.['helm.sh/resource-policy']);
      assert.deepEqual(policies(await helm.template(chart)), ['keep', 'keep']);
      assert.deepEqual(policies(await withValues({ crds: { keep: false } })), [undefined, undefined]);
    });

    it('leaves out what is switched off', async () => {
      const rendered = await withValues({ crds: { install: false }, userRoles: { create: false } });
      const left = synthesised().filter((each) => !isCrd(each) && !isNamespace(each) && !/^r2r-(view|edit)$/.test(each.metadata.name));
      assertSameObjects(rendered, left);
    });

    it('adds monitors, rules and dashboards where they are switched on, with labels of the user', async () => {
      const labels = { release: 'kube-prometheus-stack' };
      const on = { enabled: true };
      const rendered = withoutKeep(
        await withValues({ podMonitor: { ...on, labels, interval: '10s' }, prometheusRule: { ...on, labels }, dashboards: on }),
      );
      const base = synthesised().filter((each) => !isNamespace(each));
      assertSameObjects(rendered, [...base, ...monitoring({ labels, interval: '10s' })]);
    });

    it('puts every value where it belongs', async () => {
      const rendered = await withValues({
        images: {
          registry: 'registry.example:5000/r2r',
          tag: '7',
          trainer: 'registry.example/t@sha256:' + 'a'.repeat(64),
          pullPolicy: 'Always',
          pullSecrets: [{ name: 'pull' }],
        },
        replicas: 3,
        resources: { requests: { cpu: 1 }, limits: null },
        operatorArgs: ['--sglang-image=registry.example/sglang:1', '--log-level', 'debug'],
        nodeSelector: { disk: 'ssd' },
        tolerations: [{ key: 'gpu', operator: 'Exists' }],
        affinity: { podAntiAffinity: {} },
        priorityClassName: 'system-cluster-critical',
        serviceAccount: { annotations: { a: 'b' } },
      });
      const { spec } = operatorOf(rendered);
      const [container] = spec.template.spec.containers;
      assert.equal(spec.replicas, 3);
      assert.equal(container.image, 'registry.example:5000/r2r/operator:7');
      assert.equal(container.imagePullPolicy, 'Always');
      assert.deepEqual(container.resources, { requests: { cpu: 1, memory: '128Mi' } });
      assert.deepEqual(container.args, [
        'operator',
        ...['--router-image', 'registry.example:5000/r2r/router:7'],
        ...['--trainer-image', 'registry.example/t@sha256:' + 'a'.repeat(64)],
        ...['--metrics-port', '8080', '--health-port', '8081'],
        ...['--sglang-image=registry.example/sglang:1', '--log-level', 'debug'],
      ]);
      const { imagePullSecrets, nodeSelector, tolerations, affinity, priorityClassName } = spec.template.spec;
      assert.deepEqual(
        { imagePullSecrets, nodeSelector, tolerations, affinity, priorityClassName },
        {
          imagePullSecrets: [{ name: 'pull' }],
          nodeSelector: { disk: 'ssd' },
          tolerations: [{ key: 'gpu', operator: 'Exists' }],
          affinity: { podAntiAffinity: {} },
          priorityClassName: 'system-cluster-critical',
        },
      );
      const account = rendered.find(({ kind }) => kind === 'ServiceAccount');
      assert.deepEqual(account?.metadata.annotations, { a: 'b' });
    });

    it('takes the values of the examples for GitOps', async () => {
      const documents = ['argo-cd/application.yaml', 'flux/operator.yaml'].flatMap((file) =>
        parseAllDocuments(readFileSync(`examples/gitops/${file}`, 'utf8')).map((each) => each.toJSON() as GitOpsExample),
      );
      const values = documents.flatMap(({ spec }) => spec.values ?? spec.source?.helm?.valuesObject ?? []);
      assert.equal(values.length, 2);
      for (const each of values) assert.ok((await withValues(each)).length > 8);
    });

    const wrong: readonly (readonly [what: string, values: object, message: RegExp])[] = [
      ['a key that is not there', { replica: 3 }, /replica\b/],
      ['one in a group', { crds: { enabled: true } }, /crds[\s\S]*enabled/],
      ['a value of another type', { replicas: '3' }, /replicas[\s\S]*(integer|string)/],
      ['a tag with a colon', { images: { tag: ':1' } }, /images[./]tag[\s\S]*pattern/],
      ['a pull policy that Kubernetes has not', { images: { pullPolicy: 'Sometimes' } }, /pullPolicy/],
      [
        'a flag that has a value of its own',
        { operatorArgs: ['--router-image=x'] },
        /operatorArgs: --router-image is made from images\.router; set that instead/,
      ],
      [
        "the release's own namespace",
        { namespace: { create: true } },
        /namespace\.create: Helm makes the release's own namespace, r2r-system \(--create-namespace\)/,
      ],
    ];
    for (const [what, values, message] of wrong) {
      it(`refuses ${what}, naming it`, async () => {
        assert.match(await refusal(values), message);
      });
    }

    it('refuses a Kubernetes that is too old', async () => {
      await assert.rejects(helm.template(chart, '--kube-version', '1.28.9'), /1\.29\.0/);
    });
  });
}
