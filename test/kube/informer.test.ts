import assert from 'node:assert/strict';
import { Registry } from 'prom-client';
import { Informer, KubeMetrics, pods } from '../../src/kube/index.ts';
import { until } from '../cluster/progress.ts';
import { FakeApiServer, FakePods, pod } from './fake-api-server.ts';
import { Recorder } from './recorder.ts';

const eventually = (what: string, test: () => boolean): Promise<unknown> => until(what, 20_000, () => Promise.resolve(test()), 5);
const owner = (uid: string): object => ({ ownerReferences: [{ apiVersion: 'v1', kind: 'K', name: 'n', uid, controller: true }] });

describe('informer', () => {
  it('finds, by a resync, changes that the watch never told, and counts them', async () => {
    const api = new FakePods();
    api.objects = [pod('x', 1)];
    await using server = await FakeApiServer.start(api.answer);
    await using client = server.client();
    const registry = new Registry();
    const timing = { resyncMs: 100, settleMs: 50, backoffMinMs: 10 };
    await using informer = new Informer(client, pods, { timing, metrics: new KubeMetrics(registry) });
    const { heard } = new Recorder(informer);
    informer.start();
    await eventually('a watch', () => api.watches.length === 1);
    api.objects = [pod('x', 5), pod('y', 6)];
    api.version = 6;
    await eventually('the truth', () => heard.length === 3);
    assert.deepEqual(heard, ['add x uid-x', 'update x 1->5', 'add y uid-y']);
    assert.match(await registry.metrics(), /kube_informer_cache_misses_total\{resource="pods"\} 2/);
    assert.match(await registry.metrics(), /kube_informer_lists_total\{resource="pods",cause="resync"\} 1/);
  });

  it('finds nothing missed, by many resyncs, while the watch tells of a change every few milliseconds', async () => {
    const api = new FakePods();
    await using server = await FakeApiServer.start(api.answer);
    await using client = server.client();
    const registry = new Registry();
    await using informer = new Informer(client, pods, { timing: { resyncMs: 20, settleMs: 100 }, metrics: new KubeMetrics(registry) });
    informer.start();
    await eventually('a watch', () => api.watches.length === 1);
    let version = 2;
    const busy = setInterval(() => api.tell('MODIFIED', pod(`p${version % 7}`, version++)), 3);
    await eventually('ten resyncs', () => api.lists.length > 10);
    clearInterval(busy);
    assert.doesNotMatch(await registry.metrics(), /kube_informer_cache_misses_total\{/);
    assert.equal(api.watchRequests.length, 1);
  });

  it('gives deeply frozen objects with only its own managedFields', async () => {
    const api = new FakePods();
    const entry = (manager: string, operation: string): object => ({ manager, operation, fieldsV1: {} });
    const managedFields = [entry('test', 'Apply'), entry('test', 'Update'), entry('kubelet', 'Update'), entry('test-status', 'Apply')];
    api.objects = [
      pod('x', 1, 'uid', { managedFields, labels: { a: 'b' } }),
      pod('y', 2, 'u2', { managedFields: managedFields.slice(1, 3) }),
    ];
    await using server = await FakeApiServer.start(api.answer);
    await using client = server.client();
    await using informer = new Informer(client, pods);
    informer.start();
    await informer.waitForSync();
    const [x, y] = informer.list();
    assert.deepEqual(
      x!.metadata.managedFields?.map(({ manager }) => manager),
      ['test', 'test-status'],
    );
    assert.equal(y!.metadata.managedFields, undefined);
    assert.throws(() => Object.assign(x!.metadata.labels!, { a: 'c' }), TypeError);
  });

  it('finds objects by namespace, by owner and by an index of its options, and forgets the old values', async () => {
    const api = new FakePods();
    api.objects = [pod('x', 1, 'uid-x', { ...owner('o1'), labels: { app: 'one' } }), pod('y', 2, 'uid-y', owner('o1'))];
    await using server = await FakeApiServer.start(api.answer);
    await using client = server.client();
    await using informer = new Informer(client, pods, { indexes: { app: ({ metadata }) => [metadata.labels?.['app'] ?? []].flat() } });
    informer.start();
    await eventually('a watch', () => api.watches.length === 1);
    const names = (objects: readonly { metadata: { name: string } }[]): string[] => objects.map(({ metadata }) => metadata.name);
    assert.deepEqual(names(informer.ownedBy('o1')), ['x', 'y']);
    assert.deepEqual(names(informer.byIndex('app', 'one')), ['x']);
    assert.deepEqual(names(informer.list('other')), []);
    api.tell('MODIFIED', pod('x', 3, 'uid-x', { ...owner('o2'), labels: { app: 'two' } }));
    await eventually('the change', () => informer.byIndex('app', 'two').length === 1);
    assert.deepEqual(
      [names(informer.byIndex('app', 'one')), names(informer.ownedBy('o1')), names(informer.ownedBy('o2'))],
      [[], ['y'], ['x']],
    );
    assert.throws(() => informer.byIndex('nope', 'x'), /there is no index "nope"; there are app, owner/);
  });

  it('tells a late handler what is there already, and a removed one nothing more', async () => {
    const api = new FakePods();
    api.objects = [pod('x', 1)];
    await using server = await FakeApiServer.start(api.answer);
    await using client = server.client();
    await using informer = new Informer(client, pods);
    informer.start();
    await eventually('a watch', () => api.watches.length === 1);
    const late = new Recorder(informer);
    assert.deepEqual(late.heard, ['add x uid-x']);
    const removed: string[] = [];
    informer.addHandler({ onUpdate: () => removed.push('update') })();
    api.tell('MODIFIED', pod('x', 2));
    await eventually('the change', () => late.heard.length === 2);
    assert.deepEqual(removed, []);
  });
});
