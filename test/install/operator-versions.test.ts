/**
 * The operator of the version before and that of this one take turns over the same resources, on a real API server with a controller-manager:
 * no pod may be replaced. There is no node; what would disturb a pod shows in the Deployments and in the pods that wait.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { controlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/progress.ts';
import { controlPlaneTools } from '../cluster/tools.ts';
import { controllerManager } from './controller-manager.ts';
import { OperatorProcess } from './operator-process.ts';
import { currentVersion, nextField, nextVersion, previousVersion, whyNoPreviousVersion } from './versions.ts';
import { kubectlWith } from './ways.ts';
import type { Kubectl } from './ways.ts';

interface Listed {
  readonly items: readonly {
    readonly kind: string;
    readonly metadata: { readonly name: string; readonly uid: string; readonly generation?: number };
    readonly spec?: { readonly selector?: unknown };
  }[];
}

describe('an upgrade and a downgrade of the operator', function () {
  this.timeout(60 * 60_000);
  const namespace = 'turns';
  let kubectl: Kubectl;
  let kubeconfig: string;
  let stopControllers: () => void;
  let versions: { readonly previous: string; readonly next: string };
  let running: OperatorProcess | undefined;

  before(async function () {
    const why = whyNoPreviousVersion();
    if (why !== undefined) {
      console.warn(`    ${why}`);
      this.skip();
    }
    const { kubectl: program } = await controlPlaneTools();
    ({ kubeconfigFile: kubeconfig } = await controlPlane());
    kubectl = kubectlWith(program, kubeconfig);
    stopControllers = await controllerManager(kubeconfig);
    versions = { previous: previousVersion(), next: nextVersion(currentVersion()) };
    await kubectl(['apply', '--server-side', '--kustomize', join(versions.previous, 'crds')]);
    await kubectl(['wait', '--for=condition=Established', 'crd/r2rdeployments.r2r.dev', 'crd/r2rrouters.r2r.dev', '--timeout=60s']);
    await kubectl(['create', 'namespace', namespace]);
  });
  after(async () => {
    running?.kill();
    await kubectl(['delete', 'crd', 'r2rdeployments.r2r.dev', 'r2rrouters.r2r.dev', '--timeout=120s']);
    stopControllers();
  });

  const crds = (version: string) => kubectl(['apply', '--server-side', '--force-conflicts', '--kustomize', join(version, 'crds')]);
  const apply = (file: string) => {
    const object = parse(readFileSync(join(versions.previous, 'examples', file), 'utf8')) as { metadata: { name: string } };
    return kubectl(['apply', '--namespace', namespace, '--filename', '-'], JSON.stringify(object));
  };
  /** What must not change: templates (generations), pods (UIDs), and where endpoints lead. */
  const world = async (): Promise<readonly string[]> => {
    const { items } = JSON.parse(
      await kubectl(['get', 'deployments,replicasets,pods,services,controllerrevisions', '--namespace', namespace, '--output', 'json']),
    ) as Listed;
    return items
      .map(({ kind, metadata: { name, uid, generation }, spec }) =>
        [
          kind,
          name,
          uid,
          ...(kind === 'Pod' ? [] : [generation ?? '']),
          ...(kind === 'Service' ? [JSON.stringify(spec?.selector)] : []),
        ].join(' '),
      )
      .sort();
  };
  /** One turn of an operator; its images are called after it. */
  const turn = async (version: string, routerImage: string): Promise<readonly string[]> => {
    running = await OperatorProcess.start(version, kubeconfig, routerImage);
    // Each resource twice: what the first reconcile has written is looked at again.
    await running.reconciled(4);
    await running.stop();
    return world();
  };

  let first: readonly string[];

  it('begins with the version before, which makes Deployments that get pods', async () => {
    for (const file of ['r2rdeployment.yaml', 'r1-1.5b-32b.yaml']) await until(file, 30_000, () => apply(file));
    running = await OperatorProcess.start(versions.previous, kubeconfig, 'registry.example/router:1');
    await running.reconciled(4);
    first = await until('five pods', 60_000, async () => {
      const now = await world();
      return now.filter((line) => line.startsWith('Pod ')).length === 5 && now;
    });
    await running.stop();
    assert.equal(first.filter((line) => line.startsWith('Deployment ')).length, 4);
  });

  it('replaces no pod when this version takes over, with its CRDs and other images', async () => {
    await crds('.');
    assert.deepEqual(await turn('.', 'registry.example/router:2'), first);
  });

  it('replaces none when the version before takes over again', async () => {
    assert.deepEqual(await turn(versions.previous, 'registry.example/router:1'), first);
  });

  for (const [name, version] of [
    ['this version', () => '.'],
    ['the version before', () => versions.previous],
  ] as const) {
    it(`lets ${name} work on resources with a field that only a later version knows, and leaves the field alone`, async () => {
      await crds(versions.next);
      const specs = () => kubectl(['get', 'r2rdeployments', '--namespace', namespace, '--output', 'jsonpath={.items[*].spec}']);
      await until('the field is kept', 30_000, async () => {
        const patch = { spec: { slm: { [nextField]: name.slice(0, 8) } } };
        await kubectl(['patch', 'r2rdeployment', 'tiny', '--namespace', namespace, '--type=merge', '--patch', JSON.stringify(patch)]);
        return (await specs()).includes(nextField);
      });
      const before = await specs();
      assert.deepEqual(await turn(version(), 'registry.example/router:3'), first);
      assert.equal(await specs(), before);
      const observed = [
        'get',
        'r2rdeployment',
        'tiny',
        '--namespace',
        namespace,
        '--output',
        'jsonpath={.metadata.generation} {.status.observedGeneration}',
      ];
      const [generation, seen] = (await kubectl(observed)).split(' ');
      assert.equal(seen, generation);
    });
  }
});
