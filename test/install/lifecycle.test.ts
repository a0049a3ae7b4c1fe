/**
 * Every way to install, on a real API server with a controller-manager (no node: the operator's pods wait): install the version before,
 * upgrade to this one and to one to come, go back, uninstall, install again. A custom resource lives through all of it.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { customResourceDefinition } from '../../src/api/crd.ts';
import { controlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/progress.ts';
import { controlPlaneTools } from '../cluster/tools.ts';
import { controllerManager } from './controller-manager.ts';
import { helmVersions } from './helm.ts';
import { synthesised } from './objects.ts';
import { currentVersion, nextField, nextVersion, previousVersion, whyNoPreviousVersion } from './versions.ts';
import { helmWay, kubectlWith, kustomizeWay, manifestWay } from './ways.ts';
import type { Kubectl, Way } from './ways.ts';

interface Stored {
  readonly metadata: { readonly uid: string; readonly generation: number };
  readonly spec: { readonly slm: Readonly<Record<string, unknown>> };
}

describe('installing', function () {
  this.timeout(60 * 60_000);
  let kubectl: Kubectl;
  let kubeconfig: string;
  let stop: () => void;
  let versions: { readonly previous: string; readonly current: string; readonly next: string };

  before(async function () {
    const why = whyNoPreviousVersion();
    if (why !== undefined) {
      console.warn(`    ${why}`);
      this.skip();
    }
    const { kubectl: program } = await controlPlaneTools();
    ({ kubeconfigFile: kubeconfig } = await controlPlane());
    kubectl = kubectlWith(program, kubeconfig);
    stop = await controllerManager(kubeconfig);
    const current = currentVersion();
    versions = { previous: previousVersion(), current, next: nextVersion(current) };
  });
  after(() => {
    stop();
  });

  const get = async (...args: string[]) => JSON.parse(await kubectl(['get', '--output', 'json', ...args])) as unknown;
  const names = async (...args: string[]) =>
    (await kubectl(['get', '--output', 'name', '--ignore-not-found', ...args])).trim().split('\n').filter(Boolean);
  /** What an installation leaves in the cluster, CRDs and namespace apart. */
  const installed = async (): Promise<string[]> => [
    ...(await names('clusterroles,clusterrolebindings', '--selector', 'app.kubernetes.io/part-of=r2r-kubernetes')),
    ...(await names(
      'deployments,poddisruptionbudgets,roles,rolebindings,serviceaccounts',
      '--all-namespaces',
      '--selector',
      'app.kubernetes.io/part-of=r2r-kubernetes',
    )),
  ];
  const resource = async () => (await get('r2rdeployment', 'tiny', '--namespace', 'models')) as Stored;
  const image = () =>
    kubectl([
      'get',
      'deployment',
      'r2r-operator',
      '--namespace',
      'r2r-system',
      '--output',
      'jsonpath={.spec.template.spec.containers[0].image}',
    ]);
  const schema = async () => {
    const definition = (await get('crd', 'r2rdeployments.r2r.dev')) as ReturnType<typeof customResourceDefinition>;
    return definition.spec.versions[0]?.schema.openAPIV3Schema;
  };
  const rules = async () => ((await get('clusterrole', 'r2r-operator')) as { rules: unknown }).rules;
  const established = () =>
    kubectl(['wait', '--for=condition=Established', 'crd/r2rdeployments.r2r.dev', 'crd/r2rrouters.r2r.dev', '--timeout=60s']);
  /** The API server takes the next version's field into use a moment after the CRD has it. */
  const setNextField = (value: string) =>
    until('the new field is kept', 30_000, async () => {
      await kubectl([
        'patch',
        'r2rdeployment',
        'tiny',
        '--namespace',
        'models',
        '--type=merge',
        '--patch',
        JSON.stringify({ spec: { slm: { [nextField]: value } } }),
      ]);
      return (await resource()).spec.slm[nextField] === value;
    });
  const cleanUp = async () => {
    await kubectl(['delete', 'crd', 'r2rdeployments.r2r.dev', 'r2rrouters.r2r.dev', '--ignore-not-found', '--timeout=120s']);
    await kubectl(['delete', 'namespace', 'r2r-system', 'models', '--ignore-not-found', '--timeout=120s']);
  };

  const ways: readonly (readonly [string, () => Promise<Way>])[] = [
    ['by the manifest', () => Promise.resolve(manifestWay(kubectl))],
    ['by kustomize', () => Promise.resolve(kustomizeWay(kubectl))],
    ...helmVersions.map((major) => [`by Helm ${major}`, () => helmWay(major, kubeconfig)] as const),
  ];
  for (const [name, find] of ways) {
    describe(name, () => {
      let way: Way;
      let uid: string;
      before(async () => {
        way = await find();
      });
      after(cleanUp);

      it('brings the CRDs, the rights and the operator', async () => {
        const told = await way.install(versions.previous);
        if (way.name.startsWith('Helm')) assert.match(told, /is in namespace r2r-system[^]*kubectl delete crd r2rdeployments\.r2r\.dev/);
        await established();
        await kubectl(['create', 'namespace', 'models']);
        const example = parse(readFileSync('examples/r2rdeployment.yaml', 'utf8')) as object;
        await until('the resource is taken', 30_000, () =>
          kubectl(['apply', '--namespace', 'models', '--filename', '-'], JSON.stringify(example)),
        );
        ({ uid } = (await resource()).metadata);
        assert.ok((await installed()).length >= 8);
        await kubectl([
          'wait',
          '--for=jsonpath={.status.replicas}=2',
          'deployment/r2r-operator',
          '--namespace',
          'r2r-system',
          '--timeout=60s',
        ]);
      });

      it('upgrades to this version: its CRDs, its rights, its operator', async () => {
        const before = await resource();
        await way.upgrade(versions.current);
        assert.deepEqual(await schema(), JSON.parse(JSON.stringify(customResourceDefinition().spec.versions[0]?.schema.openAPIV3Schema)));
        assert.deepEqual(
          await rules(),
          synthesised().find(({ kind, metadata }) => kind === 'ClusterRole' && metadata.name === 'r2r-operator')?.rules,
        );
        assert.match(await image(), /^ghcr\.io\/r2r-kubernetes\/operator:\d/);
        const after = await resource();
        assert.equal(after.metadata.uid, uid);
        assert.deepEqual(after.spec.slm, before.spec.slm);
      });

      it('upgrades to a version with one more field, which resources may then use', async () => {
        await way.upgrade(versions.next);
        await setNextField('used');
        assert.match(await image(), /operator:next$/);
      });

      it('goes back to this version and leaves the newer CRDs, and with them what resources say', async () => {
        await way.downgrade(versions.current);
        assert.doesNotMatch(await image(), /next$/);
        const { metadata, spec } = await resource();
        assert.equal(metadata.uid, uid);
        assert.equal(spec.slm[nextField], 'used');
      });

      it('uninstalls the operator and all of its rights, and leaves CRDs and resources', async () => {
        await way.uninstall(versions.current);
        await until('everything is gone', 60_000, async () => (await installed()).length === 0);
        assert.equal((await resource()).metadata.uid, uid);
      });

      it('installs again around what is there', async () => {
        await way.install(versions.next);
        await setNextField('again');
        assert.equal((await resource()).metadata.uid, uid);
        await way.uninstall(versions.next);
      });
    });
  }

  describe('changing the way', () => {
    afterEach(cleanUp);

    for (const major of helmVersions) {
      it(`goes from the manifest to Helm ${major}, which takes over what is there`, async () => {
        await manifestWay(kubectl).install(versions.current);
        await established();
        const uid = await kubectl([
          'get',
          'deployment',
          'r2r-operator',
          '--namespace',
          'r2r-system',
          '--output',
          'jsonpath={.metadata.uid}',
        ]);
        const helm = await helmWay(major, kubeconfig);
        await helm.takeOver(versions.current);
        await helm.upgradeTakenOver(versions.next);
        assert.match(await image(), /operator:next$/);
        assert.equal(
          await kubectl(['get', 'deployment', 'r2r-operator', '--namespace', 'r2r-system', '--output', 'jsonpath={.metadata.uid}']),
          uid,
        );
        await helm.uninstall(versions.next);
        assert.deepEqual(await installed(), []);
        await established();
      });
    }

    it('goes on with Helm 4 in a release that Helm 3 made', async () => {
      const [helm3, helm4] = await Promise.all([helmWay(3, kubeconfig), helmWay(4, kubeconfig)]);
      await helm3.install(versions.current);
      await established();
      await helm4.upgrade(versions.next);
      assert.match(await image(), /operator:next$/);
      await helm4.downgrade(versions.current);
      assert.doesNotMatch(await image(), /next$/);
      await helm4.uninstall(versions.current);
      await until('everything is gone', 60_000, async () => (await installed()).length === 0);
      await established();
    });
  });
});
