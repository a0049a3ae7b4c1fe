/** Real operator processes while leaders, the API server, connections and history are lost. There is no kubelet: children are made, pods never. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { r2rDeployments } from '../../src/controllers/resource-types.ts';
import { configMaps, deployments, Informer, keyOf, keyString, KubeClient, services } from '../../src/kube/index.ts';
import type { KubeObject, Live, ResourceType } from '../../src/kube/index.ts';
import { until } from '../cluster/progress.ts';
import { newNamespace, Wire } from '../kube/real-server.ts';
import { scale } from '../scale.ts';
import { SimulatedCluster } from '../simulated/cluster.ts';
import { OperatorProcess, prepare } from './operators.ts';
import { childrenIn, example, madeTwice, isObserved } from './workload.ts';

/** Longer than what a watch must live for the next one to come without a pause. */
const aliveMs = 5_200;
/** Of the operator's lease: how long others wait, and how often they look. */
const lease = { durationMs: 15_000, retryMs: 2_400 } as const;
const isLong = scale > 1;
const awayMs = isLong ? 120_000 : 20_000;
const disconnects = isLong ? 1_000 : 40;
const users = ['operator-a', 'operator-b'] as const;

describe('fail-over of real operator processes', function () {
  this.timeout(isLong ? 900_000 : 240_000);
  let cluster: SimulatedCluster;
  let admin: KubeClient;
  let namespace: string;
  let operators: OperatorProcess[] = [];

  before(async () => {
    cluster = await SimulatedCluster.start({ audited: users, users });
    admin = KubeClient.fromConfig(cluster.kubeConfig(), { fieldManager: 'a-person' });
    await prepare(admin, users);
  });
  beforeEach(async () => {
    namespace = await newNamespace(admin);
  });
  afterEach(async () => {
    await Promise.all(operators.map((operator) => operator.kill()));
    operators = [];
    for (const { metadata } of (await admin.list(r2rDeployments, { namespace })).items) await admin.delete(r2rDeployments, metadata);
  });
  after(async () => {
    await admin.close();
    await cluster[Symbol.asyncDispose]();
  });

  const start = async (user: (typeof users)[number], server?: string): Promise<OperatorProcess> => {
    const operator = await OperatorProcess.start(cluster, { user, ...(server !== undefined && { server }) });
    operators.push(operator);
    return operator;
  };
  const make = async (first: number, count: number): Promise<void> => {
    for (let index = first; index < first + count; index++) await admin.create(r2rDeployments, example(namespace, `pair-${index}`));
  };
  /** All children of so many deployments are there, and each status says so. */
  const allMade = (count: number, withinMs: number): Promise<unknown> =>
    until(
      `the children of ${count} deployments`,
      withinMs,
      async () => {
        const kinds = [...(await childrenIn(admin, namespace)).keys()].filter((key) => key.startsWith('Deployment '));
        if (kinds.length < 2 * count) throw new Error(`${kinds.length} of ${2 * count} Deployments`);
        const observed = await Promise.all(Array.from({ length: count }, (_, index) => isObserved(admin, namespace, `pair-${index}`)));
        return observed.every(Boolean);
      },
      500,
    );

  it('a leader is killed amid its work: the other goes on within the lease time, and nothing is made twice', async () => {
    const first = await start('operator-a');
    await until('it leads', 60_000, () => first.leads());
    const second = await start('operator-b');
    const before = cluster.auditLog().length;
    await make(0, 20);
    await until('half of it is made', 60_000, async () => (await childrenIn(admin, namespace)).size > 60, 20);
    await first.kill();
    const killedAt = Date.now();
    await until('the other leads', 60_000, () => second.leads(), 50);
    const tookMs = Date.now() - killedAt;
    assert.ok(tookMs <= lease.durationMs + lease.retryMs + 1_500, `the other led ${tookMs} ms after the first was killed`);
    await allMade(20, 60_000);
    await sleep(1_500);
    const lines = cluster.auditLog().slice(before);
    const byFirst = lines.filter(({ user, verb }) => user.username === 'operator-a' && verb === 'patch').length;
    const bySecond = lines.filter(({ user, verb }) => user.username === 'operator-b' && verb === 'patch').length;
    assert.ok(byFirst > 0 && bySecond > 0, `${byFirst} applies of the first, ${bySecond} of the second`);
    assert.deepEqual(madeTwice(lines), []);
  });

  it(`the API server is away for ${awayMs / 1000} s: both replicas live on, and one of them leads again and does what was asked meanwhile`, async () => {
    const [one, other] = [await start('operator-a'), await start('operator-b')];
    await until('one leads', 60_000, async () => (await one.leads()) || (await other.leads()));
    await make(0, 3);
    await allMade(3, 60_000);
    await cluster.kill('kube-apiserver');
    await sleep(awayMs);
    for (const operator of [one, other]) {
      operator.assertRuns();
      assert.equal(await operator.leads(), false, 'nobody leads without a lease');
    }
    await cluster.startApiServer();
    await make(3, 3);
    await allMade(6, 90_000);
    for (const operator of [one, other]) operator.assertRuns();
    const leaders = (await Promise.all([one.leads(), other.leads()])).filter(Boolean);
    assert.equal(leaders.length, 1);
  });

  it(`${disconnects} watches are cut amid changes: no event is lost`, async () => {
    await using wire = await Wire.open(Number(new URL(cluster.server).port));
    const operator = await start('operator-a', `https://127.0.0.1:${wire.port}`);
    await until('it leads', 90_000, () => operator.leads());
    await make(0, 5);
    await allMade(5, 60_000);
    await using watched = await watchThrough(wire, cluster);
    const failed = (): Promise<number> => operator.metric('kube_informer_watches_total', 'end="failed"');
    for (let change = 0; (await failed()) < disconnects;) {
      for (const until = Date.now() + aliveMs; Date.now() < until; change++) {
        const threshold = (change % 89) / 100;
        await admin.patch(r2rDeployments, { namespace, name: `pair-${change % 5}` }, { spec: { router: { threshold } } });
        await sleep(100);
      }
      wire.reset();
    }
    // the last change of each deployment has arrived in its ConfigMap, whatever watch it came by
    for (let index = 0; index < 5; index++) {
      const { spec } = await admin.get(r2rDeployments, { namespace, name: `pair-${index}` });
      await until(`the threshold of pair-${index}`, 60_000, async () => {
        const maps = [...(await childrenIn(admin, namespace)).values()].filter(({ kind }) => kind === 'ConfigMap');
        const own = maps.find(({ metadata }) => metadata.name.startsWith(`pair-${index}-`)) as
          { data?: Record<string, string> } | undefined;
        const { threshold } = JSON.parse(own?.data?.['router.json'] ?? '{}') as { threshold?: number };
        return threshold === spec.router.threshold;
      });
    }
    operator.assertRuns();
    assert.equal(await operator.metric('kube_informer_cache_misses_total'), 0);
    await watched.equalsLists();
  });

  it('history is compacted while the operator is cut off: it lists anew and misses neither edits nor deletions nor what is new', async () => {
    await using wire = await Wire.open(Number(new URL(cluster.server).port));
    const operator = await start('operator-a', `https://127.0.0.1:${wire.port}`);
    await until('it leads', 90_000, () => operator.leads());
    await make(0, 3);
    await allMade(3, 60_000);
    await using watched = await watchThrough(wire, cluster);

    wire.refuse();
    const children = [...(await childrenIn(admin, namespace)).values()];
    const [deleted, edited] = ['pair-0', 'pair-1'].map((name) =>
      children.find(
        ({ kind, metadata }) => kind === 'Deployment' && metadata.name.startsWith(`${name}-`) && metadata.name.endsWith('-llm'),
      ),
    );
    await admin.delete(deployments, keyOf(deleted!));
    await admin.patch(deployments, keyOf(edited!), { spec: { replicas: 7 } });
    await make(3, 1);
    await cluster.compact();
    await cluster.kill('kube-apiserver');
    await cluster.startApiServer();
    await admin.patch(r2rDeployments, { namespace, name: 'pair-2' }, { spec: { router: { threshold: 0.77 } } });
    wire.accept();

    await until('the deleted child is made again', 90_000, async () => {
      const again = await admin.find(deployments, keyOf(deleted!));
      return again !== undefined && again.metadata.uid !== deleted!.metadata.uid;
    });
    await until('the edited one is set right', 60_000, async () => (await admin.get(deployments, keyOf(edited!))).spec?.replicas === 2);
    await allMade(4, 60_000);
    await until('the new threshold', 60_000, async () =>
      [...(await childrenIn(admin, namespace)).values()].some((child) => JSON.stringify(child).includes('\\"threshold\\":0.77')),
    );
    operator.assertRuns();
    assert.ok((await operator.metric('kube_informer_watches_total', 'end="expired"')) > 0, 'no watch was told that its version is too old');
    assert.equal(await operator.metric('kube_informer_cache_misses_total'), 0);
    await watched.equalsLists();
  });
});

/** Informers on the same unreliable wire as the operator, whose caches can be looked into. */
async function watchThrough(wire: Wire, cluster: SimulatedCluster) {
  const config = cluster.kubeConfig(cluster.adminToken, `https://127.0.0.1:${wire.port}`);
  const client = KubeClient.fromConfig(config, { fieldManager: 'watcher' });
  const direct = KubeClient.fromConfig(cluster.kubeConfig(), { fieldManager: 'watcher' });
  const types = [r2rDeployments, deployments, services, configMaps] as unknown as readonly ResourceType[];
  const informers = types.map((type) => new Informer<KubeObject>(client, type, { timing: { backoffMinMs: 50, backoffMaxMs: 1_000 } }));
  for (const informer of informers) informer.start();
  await Promise.all(informers.map((informer) => informer.waitForSync(AbortSignal.timeout(60_000))));
  const versions = (objects: readonly Live[]): string =>
    JSON.stringify(objects.map((each) => [keyString(keyOf(each)), each.metadata.resourceVersion]).sort());
  return {
    /** In the end each cache is a fresh list, to the version. */
    equalsLists: () =>
      until('caches equal fresh lists', 60_000, async () => {
        for (const informer of informers) {
          const { items } = await direct.list(informer.type);
          if (versions(items) !== versions(informer.list())) throw new Error(`that of ${informer.type.plural} does not`);
        }
        return true;
      }),
    [Symbol.asyncDispose]: async (): Promise<void> => {
      await Promise.all(informers.map((informer) => informer.stop()));
      await Promise.all([client.close(), direct.close()]);
    },
  };
}
