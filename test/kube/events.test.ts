import assert from 'node:assert/strict';
import { Registry } from 'prom-client';
import { configMaps, EventRecorder, events, KubeMetrics, type ConfigMap, type KubeClient, type Live } from '../../src/kube/index.ts';
import { FakeApiServer, json, pod, status } from './fake-api-server.ts';
import { FakeClock } from './fake-clock.ts';
import { complaints } from './recorder.ts';
import { adminClient, newNamespace, startMs } from './real-server.ts';

const scaled = { type: 'Normal', reason: 'ScaledUp', action: 'Scale', note: 'from 1 to 2 replicas' } as const;

describe('events', function () {
  this.timeout(startMs);
  let client: KubeClient;
  let namespace: string;
  let about: Live<ConfigMap>;

  before(async () => {
    client = await adminClient();
    namespace = await newNamespace(client);
    about = await client.create(configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'n'.repeat(250), namespace } });
  });
  after(() => client.close());

  it('a real server takes them with MicroTimes, and counts repetitions in one series', async () => {
    const recorder = new EventRecorder(client, { controller: 'test.example/operator', instance: 'pod-0' });
    for (let i = 0; i < 3; i++) recorder.record(about, scaled);
    recorder.record(about, { ...scaled, type: 'Warning', reason: 'Failed', note: 'ü'.repeat(2000) });
    await recorder.flush(60_000);
    const { items } = await client.list(events, { namespace });
    const byReason = new Map(items.map((event) => [event.reason, event]));
    const series = byReason.get('ScaledUp');
    assert.deepEqual([items.length, series?.series?.count, series?.note], [2, 3, scaled.note]);
    assert.equal(series?.regarding?.uid, about.metadata.uid);
    assert.match(series.eventTime, /\.\d{6}Z$/);
    const note = byReason.get('Failed')?.note ?? '';
    assert.ok(Buffer.byteLength(note) <= 1024);
    assert.match(note, /^ü+…$/);
  });

  it('a server that refuses them costs a line in the log and nothing else', async () => {
    await using server = await FakeApiServer.start((_, response) => json(response, status(403, 'Forbidden'), 403));
    const { lines, logger } = complaints();
    const recorder = new EventRecorder(server.client(), { controller: 'c', instance: 'i', logger });
    recorder.record(pod('x', 1), scaled);
    recorder.record(pod('x', 1), scaled);
    await recorder.flush(20_000);
    assert.match(lines.join(), /event could not be written ApiError: .*403 Forbidden/);
  });

  it('a flood about one object is cut at 25, its repetitions are still counted, and another object is heard', async () => {
    await using server = await FakeApiServer.start((request, response) => json(response, JSON.parse(request.body), 201));
    const registry = new Registry();
    const clock = new FakeClock();
    const recorder = new EventRecorder(server.client(), { controller: 'c', instance: 'i', metrics: new KubeMetrics(registry), clock });
    for (let i = 0; i < 100; i++) recorder.record(pod('x', 1), scaled);
    recorder.record(pod('y', 1), scaled);
    await recorder.flush(20_000);
    assert.equal(server.requests.length, 26);
    assert.match(await registry.metrics(), /kube_events_total\{outcome="dropped"\} 75/);
    clock.advance(300_000);
    recorder.record(pod('x', 1), scaled);
    await recorder.flush(20_000);
    const last = JSON.parse(server.requests.at(-1)!.body) as { series?: { count?: number } };
    assert.equal(last.series?.count, 101);
  });

  it('an event after a long quiet is a new one, not part of the old series', async () => {
    await using server = await FakeApiServer.start((request, response) => json(response, JSON.parse(request.body), 201));
    const clock = new FakeClock();
    const recorder = new EventRecorder(server.client(), { controller: 'c', instance: 'i', clock });
    recorder.record(pod('x', 1), scaled);
    clock.advance(400_000);
    recorder.record(pod('x', 1), scaled);
    await recorder.flush(20_000);
    assert.deepEqual(
      server.requests.map(({ method }) => method),
      ['POST', 'POST'],
    );
  });

  it('flush gives up at its deadline', async () => {
    await using server = await FakeApiServer.start(() => undefined);
    const recorder = new EventRecorder(server.client({ deadlineMs: 60_000 }), { controller: 'c', instance: 'i' });
    recorder.record(pod('x', 1), scaled);
    const from = performance.now();
    await recorder.flush(50);
    assert.ok(performance.now() - from < 10_000);
  });
});
