import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { basename } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { InstalledObject } from '../../tools/install/objects.ts';
import { run } from '../cluster/commands.ts';
import { controlPlaneTools } from '../cluster/tools.ts';
import { assertSameObjects, monitoring, synthesised } from './objects.ts';

describe('install/kustomize', function () {
  this.timeout(60 * 60_000);
  let kubectl: string;
  before(async () => {
    ({ kubectl } = await controlPlaneTools());
  });

  const build = async (folder: string): Promise<readonly InstalledObject[]> =>
    parseAllDocuments(await run(kubectl, ['kustomize', `install/kustomize/${folder}`])).map(
      (document) => document.toJSON() as InstalledObject,
    );
  const operatorOf = (objects: readonly InstalledObject[]) =>
    objects.find(({ kind }) => kind === 'Deployment') as unknown as {
      spec: {
        replicas: number;
        template: {
          spec: {
            priorityClassName?: string;
            topologySpreadConstraints: { topologyKey: string; whenUnsatisfiable: string }[];
            containers: [{ image: string; args: string[] }];
          };
        };
      };
    };

  it('has a base that is what cdk8s synthesises', async () => {
    assertSameObjects(await build('base'), synthesised());
  });

  it('has a test here for each overlay', () => {
    assert.deepEqual(
      globSync('install/kustomize/overlays/*')
        .map((path) => basename(path))
        .sort(),
      ['high-availability', 'monitoring', 'other-namespace', 'private-registry'],
    );
  });

  it('high-availability changes the operator alone: three, on three nodes', async () => {
    const objects = await build('overlays/high-availability');
    const { spec } = operatorOf(objects);
    assert.equal(spec.replicas, 3);
    assert.equal(spec.template.spec.priorityClassName, 'system-cluster-critical');
    assert.deepEqual(
      spec.template.spec.topologySpreadConstraints.map(({ topologyKey, whenUnsatisfiable }) => [topologyKey, whenUnsatisfiable]),
      [
        ['kubernetes.io/hostname', 'DoNotSchedule'],
        ['topology.kubernetes.io/zone', 'ScheduleAnyway'],
      ],
    );
    assert.equal(spec.template.spec.containers[0].image, operatorOf(synthesised()).spec.template.spec.containers[0].image);
    const isOther = ({ kind }: InstalledObject) => kind !== 'Deployment';
    assertSameObjects(objects.filter(isOther), synthesised().filter(isOther));
  });

  it('other-namespace is what cdk8s synthesises for that namespace', async () => {
    assertSameObjects(await build('overlays/other-namespace'), synthesised({ namespace: 'r2r-platform' }));
  });

  it('monitoring has the monitors, rules and dashboards beside the base', async () => {
    assertSameObjects(await build('overlays/monitoring'), [...synthesised(), ...monitoring()]);
  });

  it('private-registry is what cdk8s synthesises for those images', async () => {
    const images = {
      operatorImage: 'registry.example/r2r/operator:1',
      routerImage: 'registry.example/r2r/router:1',
      trainerImage: 'registry.example/r2r/trainer:1',
    };
    assertSameObjects(await build('overlays/private-registry'), synthesised(images));
  });
});
