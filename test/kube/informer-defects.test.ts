/** One test for each defect of client-node's informer that made us write our own (docs/adr/0003), with times scaled down. */
import assert from 'node:assert/strict';
import { Registry } from 'prom-client';
import { Informer, KubeMetrics, pods, type InformerOptions, type InformerTiming, type KubeClient, type Pod } from '../../src/kube/index.ts';
import { until } from '../cluster/progress.ts';
import { FakeApiServer, FakePods, json, pod, status } from './fake-api-server.ts';
import { complaints, Recorder } from './recorder.ts';

const timing: Partial<InformerTiming> = { backoffMinMs: 10, backoffMaxMs: 40, livedMs: 200, settleMs: 50, graceMs: 1000 };
const eventually = (what: string, test: () => boolean): Promise<unknown> => until(what, 20_000, () => Promise.resolve(test()), 5);

interface Stage extends AsyncDisposable {
  readonly server: FakeApiServer;
  readonly api: FakePods;
  readonly client: KubeClient;
  readonly informer: Informer<Pod>;
  readonly heard: string[];
}

/** An informer on two pods, x and y, synced and watching. */
async function watching(options: InformerOptions<Pod> = {}): Promise<Stage> {
  const api = new FakePods();
  api.objects = [pod('x', 1), pod('y', 2)];
  api.version = 2;
  const server = await FakeApiServer.start(api.answer);
  const client = server.client({ retries: 0, deadlineMs: 2000 });
  const informer = new Informer(client, pods, { ...options, timing: { ...timing, ...options.timing } });
  const { heard } = new Recorder(informer);
  informer.start();
  await informer.waitForSync(AbortSignal.timeout(20_000));
  await eventually('a watch is open', () => api.watches.length === 1);
  heard.length = 0;
  const asyncDispose = async (): Promise<void> => {
    await informer.stop();
    await client.close();
    await server[Symbol.asyncDispose]();
  };
  return { server, api, client, informer, heard, [Symbol.asyncDispose]: asyncDispose };
}

describe('informer: defects it must not have', () => {
  it('D2 (ends for good on a network error): it survives a server that is away for a while', async () => {
    await using stage = await watching();
    const { server, api, heard } = stage;
    await server.down();
    api.objects = [pod('x', 7), pod('z', 8)];
    api.version = 8;
    await new Promise((resolve) => setTimeout(resolve, 100)); // long enough for several refused attempts
    await server.up();
    await eventually('a new watch', () => api.watches.length === 1);
    // the watch goes on from where it was: what happened meanwhile comes as events of the server
    assert.equal(api.watchRequests.at(-1)!.query.get('resourceVersion'), '2');
    api.tell('MODIFIED', pod('x', 9));
    await eventually('the change', () => heard.includes('update x 1->9'));
  });

  it('D2: it survives a connection that is reset in the middle of a line, and misses nothing', async () => {
    await using stage = await watching();
    const { api, heard } = stage;
    api.tell('MODIFIED', pod('x', 3));
    await eventually('the first change', () => heard.length === 1);
    const [watch] = api.watches;
    watch!.write('{"type":"MODIFIED","object":{"metadata":{"na');
    setTimeout(() => watch!.socket?.resetAndDestroy(), 20);
    await eventually('a second watch', () => api.watchRequests.length === 2 && api.watches.length === 1);
    assert.equal(api.watchRequests[1]!.query.get('resourceVersion'), '3');
    api.tell('DELETED', pod('y', 4));
    await eventually('the deletion', () => heard.includes('delete y uid-y'));
    assert.deepEqual(heard, ['update x 1->3', 'delete y uid-y']);
  });

  it('D2: a watch that ends politely within a line is taken up again', async () => {
    await using stage = await watching();
    const { api, heard } = stage;
    api.watches[0]!.end('{"type":"MODI');
    await eventually('a second watch', () => api.watchRequests.length === 2 && api.watches.length === 1);
    api.tell('ADDED', pod('z', 3));
    await eventually('the add', () => heard.includes('add z uid-z'));
  });

  it('D2: characters and lines cut anywhere by the network come out whole', async () => {
    await using stage = await watching();
    const { api, informer, heard } = stage;
    const object = pod('x', 3, 'uid-x', { annotations: { note: 'größer → 漢字 🚀' } });
    const bytes = Buffer.from(`${JSON.stringify({ type: 'MODIFIED', object })}\n`);
    for (const byte of bytes) {
      api.watches[0]!.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually('the change', () => heard.length === 1);
    assert.deepEqual(informer.get({ namespace: 'a', name: 'x' })?.metadata.annotations, { note: 'größer → 漢字 🚀' });
  });

  it('D2: a server that accepts a watch and then says nothing at all is given up after its time, and asked again', async () => {
    await using stage = await watching({ timing: { watchSeconds: 0.001, graceMs: 100 } });
    const { api } = stage;
    // the fake server never ends a watch: only the client's own deadline does
    await eventually('a second watch', () => api.watchRequests.length >= 2);
  });

  it('D2: a list that hangs costs its deadline and is tried again', async () => {
    const api = new FakePods();
    await using server = await FakeApiServer.start(api.answer);
    api.fault = (_request, _response, kind) => kind === 'list' && api.lists.length === 1;
    await using client = server.client({ deadlineMs: 100 });
    await using informer = new Informer(client, pods, { timing });
    informer.start();
    await informer.waitForSync(AbortSignal.timeout(20_000));
    assert.equal(api.lists.length, 2);
  });

  it('D2: 410 on opening a watch makes it list again and tell only the differences', async () => {
    await using stage = await watching();
    const { api, heard } = stage;
    api.objects = [pod('x', 5), pod('z', 6)];
    api.version = 6;
    let expired = 0;
    api.fault = (request, response, kind) => {
      if (kind === 'list' || request.query.get('resourceVersion') !== '2') return false;
      expired += 1;
      json(response, status(410, 'Expired'), 410);
      return true;
    };
    api.watches[0]!.end();
    await eventually('the new state', () => heard.length === 3);
    assert.equal(expired, 1);
    assert.deepEqual(heard, ['delete y uid-y', 'update x 1->5', 'add z uid-z']);
  });

  it('D2: an ERROR event with 410 makes it list again', async () => {
    await using stage = await watching();
    const { api, heard } = stage;
    api.objects = [pod('x', 1), pod('y', 9)];
    api.version = 9;
    api.send({ type: 'ERROR', object: status(410, 'Expired', 'too old resource version') });
    await eventually('the new state', () => heard.length === 1);
    assert.deepEqual(heard, ['update y 2->9']);
    assert.equal(api.lists.length, 2);
  });

  it('D2: an ERROR event with 500 makes it list again too, and is no exception of the process', async () => {
    await using stage = await watching();
    const { api } = stage;
    api.send({ type: 'ERROR', object: status(500, 'InternalError') });
    await eventually('a new list and watch', () => api.lists.length === 2 && api.watches.length === 1);
  });

  it('D2: a line that is no JSON and an event of an unknown type do not stop it', async () => {
    await using stage = await watching();
    const { api, heard } = stage;
    api.send({ type: 'FUTURE', object: pod('q', 3) });
    api.watches[0]!.write('<html>proxy error</html>\n');
    await eventually('a second watch', () => api.watchRequests.length === 2 && api.watches.length === 1);
    api.tell('MODIFIED', pod('x', 4));
    await eventually('the change', () => heard.length === 1);
    assert.deepEqual(heard, ['update x 1->4']);
  });

  it('D2: 429 with Retry-After holds it back that long, for a list as for a watch', async () => {
    const api = new FakePods();
    await using server = await FakeApiServer.start(api.answer);
    const times: number[] = [];
    api.fault = (_request, response, kind) => {
      times.push(performance.now());
      if (kind === 'list' ? api.lists.length > 1 : api.watchRequests.length > 1) return false;
      json(response, status(429, 'TooManyRequests'), 429, { 'retry-after': '1' });
      return true;
    };
    await using client = server.client({ retries: 0 });
    await using informer = new Informer(client, pods, { timing });
    informer.start();
    await eventually('an open watch', () => api.watches.length === 1);
    const [list1, list2, watch1, watch2] = times as [number, number, number, number];
    assert.equal(times.length, 4);
    assert.ok(list2 - list1 >= 990 && watch2 - watch1 >= 990, `${list2 - list1} ms, ${watch2 - watch1} ms`);
  });

  it('D2: a watch that the server ends at once again and again does not become a busy loop', async () => {
    await using stage = await watching({ timing: { backoffMinMs: 50, backoffMaxMs: 100 } });
    const { api } = stage;
    api.fault = (_request, response, kind) => kind === 'watch' && response.writeHead(200).end() instanceof Object;
    const before = api.watchRequests.length;
    const from = performance.now();
    api.watches[0]!.end();
    await eventually('some watches', () => api.watchRequests.length >= before + 6);
    assert.ok(performance.now() - from >= 5 * 25, `six watches in ${performance.now() - from} ms`);
  });

  it('D3 (stop and start make duplicate watches): after any number of both there is exactly one', async () => {
    await using stage = await watching();
    const { api, informer, heard } = stage;
    for (let i = 0; i < 5; i++) {
      void informer.stop();
      informer.start();
      informer.start();
    }
    await informer.stop();
    await eventually('no watch', () => api.watches.length === 0);
    void informer.stop();
    informer.start();
    await eventually('one watch', () => api.watches.length === 1);
    api.tell('MODIFIED', pod('x', 3));
    await eventually('the change', () => heard.length > 0);
    assert.equal(api.watches.length, 1);
    assert.deepEqual(heard, ['update x 1->3']);
  });

  it('D4 (a throwing handler kills the process or vanishes): it is counted and logged, others hear the event, all goes on', async () => {
    const registry = new Registry();
    const { lines, logger } = complaints();
    const unhandled: unknown[] = [];
    const note = (error: unknown): number => unhandled.push(error);
    await using stage = await watching({ metrics: new KubeMetrics(registry), logger });
    const { api, informer, heard } = stage;
    process.on('unhandledRejection', note);
    const boom = (): void => {
      throw new Error('boom');
    };
    const asyncBoom = async (): Promise<void> => {
      await Promise.resolve();
      throw new Error('async boom');
    };
    const before = informer.addHandler({ onUpdate: boom });
    // a handler that is async by mistake, as JavaScript allows
    const mistaken: { onUpdate: () => unknown } = { onUpdate: asyncBoom };
    informer.addHandler(mistaken);
    const late = new Recorder(informer);
    api.tell('MODIFIED', pod('x', 3));
    api.tell('MODIFIED', pod('x', 4));
    await eventually('both changes', () => heard.length === 2 && late.heard.includes('update x 3->4'));
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', note);
    before();
    assert.deepEqual(unhandled, []);
    assert.match(await registry.metrics(), /kube_informer_handler_errors_total\{resource="pods"\} 4/);
    assert.equal(lines.filter((line) => line.includes('boom')).length, 4);
    assert.equal(api.watchRequests.length, 1);
  });

  it('D5 (a quiet watch is cut): a watch outlives the deadline of calls many times over', async () => {
    const api = new FakePods();
    await using server = await FakeApiServer.start(api.answer);
    await using client = server.client({ deadlineMs: 100 });
    await using informer = new Informer(client, pods, { timing });
    const { heard } = new Recorder(informer);
    informer.start();
    await eventually('a watch', () => api.watches.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 1000)); // ten deadlines of silence: that is what is tested
    assert.equal(api.watchRequests.length, 1);
    api.tell('ADDED', pod('x', 3));
    await eventually('the event', () => heard.length === 1);
    assert.equal(api.watchRequests.length, 1);
  });

  it('D6 (no bookmarks, no timeout): it asks for both, always with a version, and goes on from a bookmark', async () => {
    await using stage = await watching();
    const { api } = stage;
    const { query } = api.watchRequests[0]!;
    assert.equal(query.get('allowWatchBookmarks'), 'true');
    assert.equal(query.get('resourceVersion'), '2');
    const seconds = Number(query.get('timeoutSeconds'));
    assert.ok(seconds >= 300 && seconds <= 600, `${seconds} s`);
    api.send({ type: 'BOOKMARK', object: { kind: 'Pod', apiVersion: 'v1', metadata: { resourceVersion: '77' } } });
    api.watches[0]!.end();
    await eventually('a second watch', () => api.watchRequests.length === 2);
    assert.equal(api.watchRequests[1]!.query.get('resourceVersion'), '77');
    assert.equal(api.lists.length, 1);
  });

  it('D7 (list gives Date, watch gives string): the same object is deeply equal from either, times are strings', async () => {
    await using stage = await watching();
    const { api, informer } = stage;
    const listed = informer.get({ namespace: 'a', name: 'x' });
    assert.equal(listed?.metadata.creationTimestamp, '2026-01-02T03:04:05Z');
    api.tell('DELETED', pod('x', 3));
    await eventually('the deletion', () => informer.get({ namespace: 'a', name: 'x' }) === undefined);
    api.tell('ADDED', pod('x', 1));
    await eventually('the add', () => informer.get({ namespace: 'a', name: 'x' }) !== undefined);
    assert.deepEqual(informer.get({ namespace: 'a', name: 'x' }), listed);
  });

  it('D8 (stop emits an error): stopping is silent, and a stopped informer stays stopped', async () => {
    const { lines, logger } = complaints();
    await using stage = await watching({ logger });
    const { server, api, informer } = stage;
    await informer.stop();
    const requests = server.requests.length;
    await eventually('the watch is closed', () => api.watches.length === 0);
    await new Promise((resolve) => setTimeout(resolve, 100)); // several back-offs long
    assert.equal(server.requests.length, requests);
    assert.deepEqual(lines, []);
    assert.equal(informer.list().length, 2);
  });

  it('D9 (connected before connecting): it counts as synced, and a watch as open, only once the server has answered', async () => {
    const api = new FakePods();
    let release: (() => void) | undefined;
    api.fault = (request, response, kind) => {
      if (release) return false;
      release = () => {
        api.answer(request, response);
      };
      return kind === 'list';
    };
    await using server = await FakeApiServer.start(api.answer);
    await using client = server.client();
    await using informer = new Informer(client, pods, { timing });
    informer.start();
    await eventually('the list request', () => release !== undefined);
    assert.equal(informer.hasSynced, false);
    assert.equal(informer.staleMs, Infinity);
    const waiting = informer.waitForSync(AbortSignal.timeout(50));
    await assert.rejects(waiting, /timeout|aborted/i);
    release!();
    await informer.waitForSync();
    assert.equal(informer.hasSynced, true);
    assert.ok(informer.staleMs < 10_000);
  });

  it('D10 (a namesake looks like an update): deleted and made again while it was away is a delete and an add', async () => {
    await using stage = await watching();
    const { api, informer, heard } = stage;
    api.objects = [pod('x', 8, 'another-uid'), pod('y', 2)];
    api.version = 8;
    api.send({ type: 'ERROR', object: status(410, 'Expired') });
    await eventually('both', () => heard.length === 2);
    assert.deepEqual(heard, ['delete x uid-x', 'add x another-uid']);
    assert.equal(informer.get({ namespace: 'a', name: 'x' })?.metadata.uid, 'another-uid');
  });

  it('D10: the late deletion of a namesake does not remove its successor', async () => {
    await using stage = await watching();
    const { api, informer, heard } = stage;
    api.tell('ADDED', pod('x', 8, 'another-uid'));
    api.send({ type: 'DELETED', object: pod('x', 9) });
    api.tell('MODIFIED', pod('y', 10));
    await eventually('all', () => heard.includes('update y 2->10'));
    assert.equal(informer.get({ namespace: 'a', name: 'x' })?.metadata.uid, 'another-uid');
  });
});
