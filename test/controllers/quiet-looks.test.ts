import assert from 'node:assert/strict';
import { labelKeys } from '../../src/api/names.ts';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import type { R2RDeploymentStatus } from '../../src/api/r2rdeployment-status.ts';
import type { RouterStatus } from '../../src/api/router-status.ts';
import type { Caches } from '../../src/controllers/caches.ts';
import { QuietLooks, askedOnce } from '../../src/controllers/quiet-looks.ts';
import type { Live } from '../../src/kube/index.ts';

const { signal } = new AbortController();
const status = { conditions: [{ type: 'Ready', status: 'True' }] } as unknown as R2RDeploymentStatus;

/** A deployment at rest with one child and one router, all of which can be changed. */
function world() {
  const deployment = {
    metadata: { namespace: 'ns', name: 'demo', uid: 'u', resourceVersion: '1' },
    spec: { llm: {}, slm: {}, router: {} },
  } as unknown as Live<R2RDeployment>;
  const child = { metadata: { uid: 'c', resourceVersion: '2' } };
  const pod = {
    metadata: {
      uid: 'p',
      resourceVersion: '3',
      labels: { [labelKeys.component]: 'slm' },
      deletionTimestamp: undefined as string | undefined,
    },
    status: { podIP: '10.0.0.1', containerStatuses: [{ name: 'router', state: { running: {} } }] },
  };
  const told = { answer: { inFlight: 0 } as RouterStatus | undefined, asked: 0 };
  const caches = {
    children: new Map([['v1/Service', { type: {}, ownedBy: () => [child] }]]),
    pods: { byIndex: () => [pod] },
    routers: { get: () => undefined },
    leaderWorkerSets: { absent: true },
  } as unknown as Caches;
  const routers = { status: () => ((told.asked += 1), Promise.resolve(told.answer)) };
  const quiet = new QuietLooks(caches);
  /** Whether the whole reconcile is needed; one that is finds nothing to do. */
  const look = async (found = status): Promise<'all' | 'nothing'> => {
    const asked = askedOnce(routers);
    const seen = quiet.seen(deployment);
    if (await quiet.foundNothing('ns/demo', deployment, seen, asked, signal)) return 'nothing';
    await quiet.hadNothingToDo('ns/demo', deployment, seen, found, asked, signal);
    return 'all';
  };
  return { deployment, child, pod, told, quiet, look };
}

describe('a look at a deployment at rest', () => {
  it('only asks its routers, once each, while they and the caches say nothing new', async () => {
    const { look, told } = world();
    assert.equal(await look(), 'all');
    assert.equal(await look(), 'nothing');
    assert.equal(told.asked, 2);
  });

  const changes: Readonly<Record<string, (changed: ReturnType<typeof world>) => void>> = {
    'the deployment': ({ deployment }) => Object.assign(deployment.metadata, { resourceVersion: '7' }),
    'a child': ({ child }) => (child.metadata.resourceVersion = '7'),
    'a pod': ({ pod }) => (pod.metadata.resourceVersion = '7'),
    'what a router answers': ({ told }) => (told.answer = { inFlight: 1 } as RouterStatus),
    'that a router answers': ({ told }) => (told.answer = undefined),
  };
  for (const [what, change] of Object.entries(changes)) {
    it(`is a whole reconcile when ${what} has changed`, async () => {
      const changed = world();
      await changed.look();
      assert.equal(await changed.look(), 'nothing');
      change(changed);
      assert.equal(await changed.look(), 'all');
    });
  }

  it('is a whole reconcile when something came into the caches while the one before worked', async () => {
    const { deployment, child, quiet, look } = world();
    const asked = askedOnce({ status: () => Promise.resolve({ inFlight: 0 } as RouterStatus) });
    const seen = quiet.seen(deployment);
    child.metadata.resourceVersion = '7';
    await quiet.hadNothingToDo('ns/demo', deployment, seen, status, asked, signal);
    assert.equal(await look(), 'all');
  });

  it('is a whole reconcile where the time decides: not Ready, rolling out, scaled, or with a pod that ends', async () => {
    const of = (type: string): R2RDeploymentStatus =>
      ({ conditions: [...(status.conditions ?? []), { type, status: 'True' }] }) as R2RDeploymentStatus;
    for (const found of [{}, of('Reconciling'), of('Stalled')]) {
      const { look } = world();
      assert.equal(await look(found), 'all');
      assert.equal(await look(found), 'all');
    }
    const scaled = world();
    Object.assign(scaled.deployment.spec.llm, { autoscaling: {} });
    const ending = world();
    ending.pod.metadata.deletionTimestamp = '2026-01-01T00:00:00Z';
    for (const { look } of [scaled, ending]) {
      assert.equal(await look(), 'all');
      assert.equal(await look(), 'all');
    }
  });

  it('is a whole reconcile from time to time in any case', async () => {
    const { look } = world();
    const all: string[] = [];
    for (let index = 0; index < 20; index++) all.push(await look());
    assert.equal(all.filter((each) => each === 'all').length, 3);
  });
});
