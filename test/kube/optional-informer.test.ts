/** An informer of a kind that the server need not know, on a real API server: its CRD comes and goes. */
import assert from 'node:assert/strict';
import { Registry } from 'prom-client';
import { Informer, KubeMetrics, Manager, customResourceDefinitions, pods, resourceType } from '../../src/kube/index.ts';
import type { KubeClient } from '../../src/kube/index.ts';
import { until } from '../cluster/progress.ts';
import { adminClient, newNamespace, startMs } from './real-server.ts';

const things = resourceType({ group: 'optional.test', version: 'v1', plural: 'things', kind: 'Thing', namespaced: true });
const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'things.optional.test' },
  spec: {
    group: 'optional.test',
    names: { kind: 'Thing', plural: 'things' },
    scope: 'Namespaced',
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
  },
};

describe('informer of an optional kind', function () {
  this.timeout(startMs);
  const timing = { absentMs: 100, backoffMinMs: 50 };
  let client: KubeClient;
  before(async () => {
    client = await adminClient();
  });
  after(async () => {
    await client.delete(customResourceDefinitions, { name: definition.metadata.name });
    await client.close();
  });

  it('has no objects while the server does not know the kind, those of it once it does, and none when it is gone again', async () => {
    const namespace = await newNamespace(client);
    const registry = new Registry();
    await using informer = new Informer(client, things, { optional: true, timing, metrics: new KubeMetrics(registry) });
    const heard: string[] = [];
    informer.addHandler({
      onAdd: ({ metadata }) => heard.push(`add ${metadata.name}`),
      onDelete: ({ metadata }) => heard.push(`delete ${metadata.name}`),
    });
    informer.start();
    await informer.waitForSync();
    assert.equal(informer.absent, true);
    assert.deepEqual(informer.list(), []);
    await client.apply(customResourceDefinitions, definition);
    await until('the kind', 30_000, () => Promise.resolve(!informer.absent));
    const thing = { apiVersion: 'optional.test/v1', kind: 'Thing', metadata: { name: 'a', namespace } };
    await until('the object', 30_000, async () => (await client.find(things, thing.metadata)) ?? (await client.create(things, thing)));
    await until('its event', 30_000, () => Promise.resolve(heard.length === 1));
    await client.delete(customResourceDefinitions, { name: definition.metadata.name });
    await until('the kind is gone', 60_000, () => Promise.resolve(informer.absent));
    assert.deepEqual(heard, ['add a', 'delete a']);
    assert.doesNotMatch(await registry.metrics(), /kube_informer_watches_total\{.*end="failed"\} [1-9]\d/);
  });

  it('holds nobody up: a manager is ready without it', async () => {
    const manager = new Manager({ client });
    manager.informer(pods);
    const optional = manager.informer(resourceType({ ...things, plural: 'others' }), { optional: true, timing });
    const stop = new AbortController();
    const running = manager.run(stop.signal);
    await until('the caches are filled', 30_000, () => Promise.resolve(manager.ready));
    assert.equal(optional.absent, true);
    stop.abort();
    await running.catch(() => undefined);
  });
});
