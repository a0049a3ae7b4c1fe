/** The client, the informer and apply against a real API server. */
import assert from 'node:assert/strict';
import {
  ApiError,
  configMaps,
  contained,
  controllerReference,
  customResourceDefinitions,
  deployments,
  ensureApplied,
  ensureStatus,
  Informer,
  isConflict,
  resourceType,
  services,
  type ConfigMap,
  type Deployment,
  type KubeClient,
  type KubeObject,
  type Live,
} from '../../src/kube/index.ts';
import { until } from '../cluster/progress.ts';
import { adminClient, newNamespace, startMs, Wire } from './real-server.ts';
import { Recorder } from './recorder.ts';

interface Gadget extends KubeObject {
  readonly spec?: { readonly size?: number; readonly tags?: readonly string[] };
  readonly status?: { readonly phase?: string; readonly seen?: number };
}
const gadgets = resourceType<Gadget>({ group: 'test.example', version: 'v1', plural: 'gadgets', kind: 'Gadget', namespaced: true });

const gadgetDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'gadgets.test.example' },
  spec: {
    group: 'test.example',
    scope: 'Namespaced',
    names: { plural: 'gadgets', singular: 'gadget', kind: 'Gadget', listKind: 'GadgetList' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                'x-kubernetes-validations': [{ rule: '!has(self.size) || self.size < 10', message: 'size must be below 10' }],
                properties: {
                  size: { type: 'integer' },
                  tags: { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' },
                },
              },
              status: { type: 'object', properties: { phase: { type: 'string' }, seen: { type: 'integer' } } },
            },
          },
        },
      },
    ],
  },
};

const deployment = (namespace: string, name: string, edit: { cpu?: string; env?: object[]; args?: string[]; labels?: object } = {}) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace, labels: edit.labels ?? { app: name } },
  spec: {
    replicas: 0,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name }, annotations: {} },
      spec: {
        hostNetwork: false,
        tolerations: [],
        containers: [
          {
            name: 'main',
            image: 'example/image',
            args: edit.args ?? ['--a', '--b'],
            env: edit.env ?? [
              { name: 'SIZE', value: '1000m' },
              { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            ],
            ports: [{ containerPort: 80 }, { containerPort: 81, name: 'admin' }],
            resources: { limits: { cpu: edit.cpu ?? '1000m', memory: '1024Mi' } },
            volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }],
          },
        ],
        volumes: [{ name: 'scratch', emptyDir: { sizeLimit: '2048Mi' } }],
      },
    },
  },
});

describe('kube on a real API server', function () {
  this.timeout(startMs);
  let client: KubeClient;
  let namespace: string;

  before(async () => {
    client = await adminClient();
    namespace = await newNamespace(client);
    await client.apply(customResourceDefinitions, gadgetDefinition);
    await until('the new kind is served', 30_000, async () => (await client.list(gadgets)).resourceVersion);
  });
  after(() => client.close());

  const configMap = (name: string, data: Record<string, string>) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace },
    data,
  });

  it('D1: a hundred calls over TLS use one or two connections', async () => {
    await using wire = await Wire.open();
    await using counted = await wire.client();
    for (let i = 0; i < 100; i++) await counted.raw({ path: '/version' });
    assert.ok(wire.connections <= 2, `${wire.connections} connections`);
  });

  it('D12: a CRD keeps its x-kubernetes fields on the way there and back, and its rules are enforced', async () => {
    const live = await client.get(customResourceDefinitions, { name: 'gadgets.test.example' });
    const schema = JSON.stringify(live.spec.versions[0]?.schema);
    assert.match(schema, /x-kubernetes-validations/);
    assert.match(schema, /x-kubernetes-list-type/);
    const bad = { apiVersion: 'test.example/v1', kind: 'Gadget', metadata: { name: 'bad', namespace }, spec: { size: 11 } };
    await assert.rejects(client.apply(gadgets, bad), (error) => {
      assert.ok(error instanceof ApiError);
      assert.deepEqual([error.status, error.reason], [422, 'Invalid']);
      assert.match(error.message, /size must be below 10/);
      assert.equal(error.causes[0]?.field, 'spec');
      return true;
    });
  });

  it('creates, reads, replaces, patches and deletes', async () => {
    const made = await client.create(configMaps, configMap('crud', { a: '1' }));
    const key = { namespace, name: 'crud' };
    assert.equal((await client.get(configMaps, key)).data?.['a'], '1');
    const replaced = await client.replace(configMaps, { ...made, data: { a: '2' } });
    await assert.rejects(client.replace(configMaps, { ...made, data: { a: '3' } }), isConflict);
    assert.deepEqual((await client.patch(configMaps, key, { data: { b: '4' } })).data, { a: '2', b: '4' });
    await assert.rejects(client.create(configMaps, configMap('crud', {})), isConflict);
    await assert.rejects(client.delete(configMaps, key, { uid: 'another' }), isConflict);
    assert.equal(await client.delete(configMaps, key, { uid: replaced.metadata.uid }), true);
    assert.equal(await client.delete(configMaps, key), false);
    assert.equal(await client.find(configMaps, key), undefined);
  });

  it('a field of another manager is a conflict that names field and manager, and force takes it over', async () => {
    await client.apply(configMaps, configMap('owned', { a: '1' }), { fieldManager: 'other' });
    await assert.rejects(client.apply(configMaps, configMap('owned', { a: '2' }), { force: false }), (error) => {
      assert.ok(error instanceof ApiError && isConflict(error));
      assert.deepEqual(
        error.causes.map(({ reason, field }) => [reason, field]),
        [['FieldManagerConflict', '.data.a']],
      );
      assert.match(error.message, /conflict with "other"/);
      return true;
    });
    assert.equal((await client.apply(configMaps, configMap('owned', { a: '2' }))).data?.['a'], '2');
  });

  it('an apply of the same thing keeps the resourceVersion, and a dry run stores nothing', async () => {
    const first = await client.apply(configMaps, configMap('same', { a: '1' }));
    const second = await client.apply(configMaps, configMap('same', { a: '1' }));
    assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
    assert.equal((await client.apply(configMaps, configMap('same', { a: '2' }), { dryRun: true })).data?.['a'], '2');
    assert.equal((await client.get(configMaps, { namespace, name: 'same' })).data?.['a'], '1');
  });

  it('status is its own subresource and its own manager: it moves no generation, spec leaves it alone', async () => {
    const desired = { apiVersion: 'test.example/v1', kind: 'Gadget', metadata: { name: 'status', namespace }, spec: { size: 1 } };
    const { object } = await ensureApplied(client, gadgets, desired, undefined);
    const written = await ensureStatus(client, gadgets, { phase: 'Ready', seen: 1 }, object);
    const live = await client.get(gadgets, { namespace, name: 'status' });
    assert.deepEqual(written, live);
    assert.equal(live.status?.phase, 'Ready');
    assert.equal(live.metadata.generation, object.metadata.generation);
    assert.equal(await ensureStatus(client, gadgets, { phase: 'Ready', seen: 1 }, live), undefined);
    assert.ok(await ensureStatus(client, gadgets, { phase: 'Ready' }, live));
    const less = await client.get(gadgets, { namespace, name: 'status' });
    assert.deepEqual(less.status, { phase: 'Ready' });
    assert.equal((await ensureApplied(client, gadgets, desired, less)).outcome, 'unchanged');
  });

  it('lists more objects than a page holds', async () => {
    await Promise.all(Array.from({ length: 23 }, (_, i) => client.create(configMaps, { ...configMap(`page-${i}`, {}) })));
    const { items } = await client.list(configMaps, { namespace, pageSize: 5 });
    assert.equal(items.filter(({ metadata }) => metadata.name.startsWith('page-')).length, 23);
    assert.ok(items.every(({ kind }) => kind === 'ConfigMap'));
  });

  it('an informer on a real server hears adds, updates and deletes, through a connection that is reset', async () => {
    await using wire = await Wire.open();
    await using wired = await wire.client();
    await using informer = new Informer(wired, configMaps, { namespace, labelSelector: 'informed=yes', timing: { backoffMinMs: 10 } });
    const { heard } = new Recorder(informer);
    informer.start();
    await informer.waitForSync(AbortSignal.timeout(60_000));
    const metadata = { name: 'informed', namespace, labels: { informed: 'yes' } };
    const made = await client.apply(configMaps, { ...configMap('informed', { a: '1' }), metadata });
    await until('the add', 30_000, () => Promise.resolve(heard.length === 1));
    wire.reset();
    await client.apply(configMaps, { ...configMap('informed', { a: '2' }), metadata });
    await until('the update', 30_000, () => Promise.resolve(heard.length === 2));
    const cached = informer.get({ namespace, name: 'informed' });
    assert.deepEqual(cached?.data, { a: '2' });
    await client.delete(configMaps, { namespace, name: 'informed' });
    await until('the delete', 30_000, () => Promise.resolve(heard.length === 3));
    assert.match(
      heard.join(),
      new RegExp(`^add informed ${made.metadata.uid},update informed \\d+->\\d+,delete informed ${made.metadata.uid}$`),
    );
  });

  describe('contained', () => {
    const applied = async (name: string, edit: Parameters<typeof deployment>[2] = {}): Promise<Live<Deployment>> =>
      client.apply(deployments, deployment(namespace, name, edit));
    const same = (live: Live, edit: Parameters<typeof deployment>[2] = {}): boolean =>
      contained(deployment(namespace, live.metadata.name, edit), live, 'test');

    it('sees that nothing is to do, through defaults, quantities and values the server leaves out', async () => {
      const live = await applied('nothing');
      assert.equal(same(live), true);
      assert.equal(same(live, { cpu: '1' }), true);
      const again = await ensureApplied(client, deployments, deployment(namespace, 'nothing'), live);
      assert.deepEqual([again.outcome, again.object], ['unchanged', live]);
    });

    it('sees a changed value, also one that only looks like a quantity, a new field and a new list item', async () => {
      const live = await applied('changed');
      assert.equal(same(live, { cpu: '2' }), false);
      assert.equal(same(live, { env: [{ name: 'SIZE', value: '1' }] }), false);
      assert.equal(same(live, { args: ['--b', '--a'] }), false);
      assert.equal(same(live, { args: ['--a', '--b', '--c'] }), false);
      assert.equal(same(live, { labels: { app: 'changed', more: 'yes' } }), false);
    });

    it('sees a field and a list item that are no longer wanted, and the apply removes them', async () => {
      const live = await applied('removed', { labels: { app: 'removed', old: 'yes' } });
      const less = { env: [{ name: 'SIZE', value: '1000m' }] };
      assert.equal(same(live, { labels: { app: 'removed', old: 'yes' } }), true);
      assert.equal(same(live), false);
      assert.equal(same(live, { ...less, labels: { app: 'removed', old: 'yes' } }), false);
      const { object, outcome } = await ensureApplied(client, deployments, deployment(namespace, 'removed', less), live);
      assert.equal(outcome, 'changed');
      assert.deepEqual([object.metadata.labels, object.spec?.template.spec?.containers[0]?.env], [{ app: 'removed' }, less.env]);
    });

    it('sees what a person edited, and leaves alone what others added', async () => {
      await applied('edited');
      const key = { namespace, name: 'edited' };
      const strategic = (body: object): Promise<string> =>
        client.raw({
          method: 'PATCH',
          path: `/apis/apps/v1/namespaces/${namespace}/deployments/edited?fieldManager=kubectl-edit`,
          contentType: 'application/strategic-merge-patch+json',
          body,
        });
      const spec = (container: object): object => ({ spec: { template: { spec: { containers: [{ name: 'main', ...container }] } } } });
      await strategic(spec({ env: [{ name: 'INJECTED', value: 'x' }] }));
      await strategic({ metadata: { labels: { theirs: 'yes' }, annotations: { note: 'mine' } } });
      assert.equal(same(await client.get(deployments, key)), true, 'additions are none of our business');
      for (const edit of [
        spec({ image: 'evil' }),
        spec({ args: ['--a'] }),
        { spec: { replicas: 3 } },
        spec({ env: [{ name: 'SIZE', $patch: 'delete' }] }),
      ]) {
        await strategic(edit);
        const live = await client.get(deployments, key);
        assert.equal(same(live), false, JSON.stringify(edit));
        const healed = await ensureApplied(client, deployments, deployment(namespace, 'edited'), live);
        assert.equal(healed.outcome, 'changed');
        assert.equal(same(healed.object), true, JSON.stringify(edit));
      }
      const labels = (await client.get(deployments, key)).metadata.labels;
      assert.deepEqual(labels, { app: 'edited', theirs: 'yes' });
    });

    it('never takes an object for its own that it has not applied', async () => {
      const made = await client.create(configMaps, configMap('foreign', { a: '1' }), { fieldManager: 'helm' });
      assert.equal(contained(configMap('foreign', { a: '1' }), made, 'test'), false);
    });

    it('holds for Services, NetworkPolicies, owner references and sets of a custom resource', async () => {
      const owner = await client.apply(configMaps, configMap('owner', {}));
      const service = {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'service', namespace, ownerReferences: [controllerReference(owner)] },
        spec: { selector: { app: 'x' }, ports: [{ name: 'http', port: 80, targetPort: 8000 }] },
      };
      const live = await client.apply(services, service);
      assert.equal(contained(service, live, 'test'), true);
      const moved = { ...service, spec: { ...service.spec, selector: { app: 'y' } } };
      assert.equal(contained(moved, live, 'test'), false);
      const gadget = (tags: string[]) => ({ ...base, spec: { tags } });
      const base = { apiVersion: 'test.example/v1', kind: 'Gadget', metadata: { name: 'set', namespace } };
      const set = await client.apply(gadgets, gadget(['a', 'b']));
      assert.deepEqual(
        [gadget(['a', 'b']), gadget(['b', 'a']), gadget(['a']), gadget(['a', 'c']), gadget(['a', 'b', 'c'])].map((each) =>
          contained(each, set, 'test'),
        ),
        [true, true, false, false, false],
      );
    });

    it('costs no PATCH over an informer, whose objects have lost other managers’ fields', async () => {
      const desired = configMap('informed-apply', { a: '1' });
      await using informer: Informer<ConfigMap> = new Informer(client, configMaps, { namespace });
      await client.apply(configMaps, desired);
      informer.start();
      await informer.waitForSync(AbortSignal.timeout(60_000));
      const live = informer.get({ namespace, name: 'informed-apply' });
      assert.equal((await ensureApplied(client, configMaps, desired, live)).outcome, 'unchanged');
    });
  });
});
