/** One test for each defect of client-node's HTTP path that made us write our own (docs/adr/0003). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { Registry } from 'prom-client';
import { ApiError, configMaps, ConnectionError, DeadlineError, KubeClient, KubeMetrics, pods } from '../../src/kube/index.ts';
import { until } from '../cluster/progress.ts';
import { FakeApiServer, json, pod, status } from './fake-api-server.ts';

const key = { namespace: 'a', name: 'x' };

describe('client: defects it must not have', () => {
  it('D1 (a connection for every call): 100 calls one after the other use one or two connections', async () => {
    await using server = await FakeApiServer.start((_, response) => json(response, pod('x', 1)));
    await using client = server.client();
    for (let i = 0; i < 100; i++) await client.get(pods, key);
    // undici may open a second while the first is handed back
    assert.ok(server.connections <= 2, `${server.connections} connections`);
  });

  it('D1: 200 calls at once use at most 16 connections, and watches take none of them', async () => {
    await using server = await FakeApiServer.start((request, response) => {
      if (request.query.has('watch')) response.writeHead(200).flushHeaders();
      else setImmediate(() => json(response, pod('x', 1)));
    });
    await using client = server.client();
    const stop = new AbortController();
    let open = 0;
    const watches = Array.from({ length: 20 }, async () => {
      const options = { resourceVersion: '1', signal: stop.signal, onOpen: () => (open += 1) };
      for await (const _event of client.watch(pods, options));
    });
    await until('all watches open', 10_000, () => Promise.resolve(open === 20), 5);
    await Promise.all(Array.from({ length: 200 }, () => client.get(pods, key)));
    stop.abort(new Error('enough'));
    for (const result of await Promise.allSettled(watches)) assert.equal(result.status, 'rejected');
    assert.ok(server.connections <= 36, `${server.connections} connections`);
  });

  it('D11 (calls hang for ever): a server that never answers costs the deadline, told by its own error', async () => {
    await using server = await FakeApiServer.start(() => undefined);
    await using client = server.client({ deadlineMs: 200 });
    await assert.rejects(client.get(pods, key), (error) => error instanceof DeadlineError && error.deadlineMs === 200);
  });

  it('D11: the deadline and the signal hold while a connection is still being made', async () => {
    // accepts connections, and never answers the TLS greeting
    const mute = createServer().listen(0, '127.0.0.1').unref();
    await once(mute, 'listening');
    const address = mute.address();
    const config = new KubeConfig();
    const server = `https://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
    config.loadFromClusterAndUser({ name: 'c', server, skipTLSVerify: true }, { name: 'u' });
    await using client = KubeClient.fromConfig(config, { fieldManager: 'test', deadlineMs: 200 });
    const from = performance.now();
    await assert.rejects(client.get(pods, key), DeadlineError);
    await assert.rejects(client.get(pods, key, { signal: AbortSignal.timeout(100), deadlineMs: 60_000 }), { name: 'TimeoutError' });
    assert.ok(performance.now() - from < 5_000, `${performance.now() - from} ms`);
    await client.close();
    mute.close();
  });

  it('D11: the deadline covers an answer that stops in the middle', async () => {
    await using server = await FakeApiServer.start((_, response) => void response.writeHead(200).write('{"metadata":'));
    await using client = server.client({ deadlineMs: 200 });
    await assert.rejects(client.get(pods, key), DeadlineError);
  });

  it('D11: 429 with Retry-After is obeyed and the call succeeds', async () => {
    const times: number[] = [];
    await using server = await FakeApiServer.start((_, response) => {
      times.push(performance.now());
      if (times.length === 1) json(response, status(429, 'TooManyRequests'), 429, { 'retry-after': '1' });
      else json(response, pod('x', 1), 201);
    });
    await using client = server.client();
    assert.equal((await client.create(pods, pod('x', 1))).metadata.name, 'x');
    assert.equal(times.length, 2);
    assert.ok(times[1]! - times[0]! >= 990, `waited ${times[1]! - times[0]!} ms`);
  });

  it('D11: a Retry-After beyond the deadline is an error at once, with the time in it', async () => {
    await using server = await FakeApiServer.start((_, response) =>
      json(response, status(503, 'ServiceUnavailable'), 503, { 'retry-after': '3600' }),
    );
    await using client = server.client();
    await assert.rejects(client.get(pods, key), (error) => error instanceof ApiError && error.retryAfterMs === 3_600_000);
    assert.equal(server.requests.length, 1);
  });

  it('D11: a reset connection is tried again for a get, but not for a create, which may have happened', async () => {
    await using server = await FakeApiServer.start((_, response) => void response.socket?.resetAndDestroy());
    await using client = server.client({ retries: 2 });
    await assert.rejects(client.get(pods, key), ConnectionError);
    assert.equal(server.requests.length, 3);
    await assert.rejects(client.create(pods, pod('x', 1)), ConnectionError);
    assert.equal(server.requests.length, 4);
  });

  it('D11: a refused connection is tried again even for a create, for nothing was sent', async () => {
    await using server = await FakeApiServer.start((_, response) => json(response, pod('x', 1), 201));
    await using client = server.client({ retries: 20 });
    await server.down();
    const created = client.create(pods, pod('x', 1));
    await server.up();
    assert.equal((await created).metadata.uid, 'uid-x');
  });

  it('D11: an aborted signal ends a call and a wait for the next attempt, with its reason', async () => {
    await using server = await FakeApiServer.start((_, response) =>
      json(response, status(429, 'TooManyRequests'), 429, { 'retry-after': '20' }),
    );
    await using client = server.client();
    const stop = new AbortController();
    const call = client.get(pods, key, { signal: stop.signal });
    const reason = new Error('shutting down');
    setImmediate(() => stop.abort(reason));
    await assert.rejects(call, (error) => error === reason);
  });

  it('D12 (unknown fields are dropped): they survive being read and being written', async () => {
    const future = { ...pod('x', 1), spec: { brandNew: { deep: [1, { er: true }] } }, 'x-kubernetes-thing': 1 };
    await using server = await FakeApiServer.start((request, response) =>
      json(response, request.method === 'GET' ? future : JSON.parse(request.body)),
    );
    await using client = server.client();
    const read = await client.get(pods, key);
    assert.deepEqual(read, future);
    assert.deepEqual(await client.apply(pods, read), future);
    assert.deepEqual(JSON.parse(server.requests[1]!.body), future);
  });

  it('D14 (plain HTTP is refused): a server without TLS needs no skipTLSVerify', async () => {
    await using server = await FakeApiServer.start((_, response) => json(response, pod('x', 1)));
    const config = server.config();
    assert.equal(config.getCurrentCluster()?.skipTLSVerify, false);
    await using client = KubeClient.fromConfig(config, { fieldManager: 'test' });
    await client.get(pods, key);
  });

  it('D15 (credentials are shared by user name): two kubeconfigs with one user name keep their own exec tokens', async () => {
    await using server = await FakeApiServer.start((_, response) => json(response, pod('x', 1)));
    const exec = (token: string): object => {
      const credential = { apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status: { token } };
      return { apiVersion: credential.apiVersion, command: 'echo', args: [JSON.stringify(credential)] };
    };
    const clients = ['one', 'two'].map((token) => KubeClient.fromConfig(server.config({ exec: exec(token) }), { fieldManager: 'test' }));
    for (const client of [...clients, ...clients]) await client.get(pods, key);
    assert.deepEqual(
      server.requests.map(({ headers }) => headers.authorization),
      ['Bearer one', 'Bearer two', 'Bearer one', 'Bearer two'],
    );
    await Promise.all(clients.map((client) => client.close()));
  });
});

describe('client', () => {
  it('reads a rotated token file again when the server says 401, and only once for a call', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'r2r-token-'));
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, 'old\n');
    let good = 'Bearer old';
    await using server = await FakeApiServer.start((request, response) => {
      if (request.headers.authorization === good) json(response, pod('x', 1));
      else json(response, status(401, 'Unauthorized'), 401);
    });
    await using client = KubeClient.fromConfig(server.config({ authProvider: { name: 'tokenFile', config: { tokenFile } } }), {
      fieldManager: 'test',
    });
    await client.get(pods, key);
    good = 'Bearer new';
    writeFileSync(tokenFile, 'new');
    await client.get(pods, key);
    good = 'Bearer never';
    await assert.rejects(client.get(pods, key), (error) => error instanceof ApiError && error.status === 401);
    assert.equal(server.requests.length, 5);
    rmSync(folder, { recursive: true });
  });

  it('puts the status, reason, causes and message of a refusal into its error', async () => {
    const causes = [{ reason: 'FieldManagerConflict', message: 'conflict with "helm"', field: '.spec.replicas' }];
    await using server = await FakeApiServer.start((_, response) =>
      json(response, { ...status(409, 'Conflict', 'Apply failed'), details: { causes } }, 409),
    );
    await using client = server.client();
    await assert.rejects(client.apply(pods, pod('x', 1), { force: false }), (error) => {
      assert.ok(error instanceof ApiError);
      assert.deepEqual([error.code, error.status, error.reason, error.causes], ['KUBE_API', 409, 'Conflict', causes]);
      assert.equal(error.message, 'PATCH /api/v1/namespaces/a/pods/x: Apply failed (409 Conflict)');
      return true;
    });
    assert.equal(server.requests[0]!.query.get('force'), 'false');
  });

  it('lists page by page and completes the items with apiVersion and kind', async () => {
    await using server = await FakeApiServer.start((request, response) => {
      const page = Number(request.query.get('continue') ?? '0');
      const { metadata } = pod(`p${page}`, page + 1);
      json(response, { metadata: { resourceVersion: '9', ...(page < 2 && { continue: String(page + 1) }) }, items: [{ metadata }] });
    });
    await using client = server.client();
    const { items, resourceVersion } = await client.list(pods, { namespace: 'a', labelSelector: 'app in (x,y)' });
    assert.deepEqual(
      items.map(({ kind, apiVersion, metadata }) => [apiVersion, kind, metadata.name]),
      [0, 1, 2].map((page) => ['v1', 'Pod', `p${page}`]),
    );
    assert.equal(resourceVersion, '9');
    assert.deepEqual(
      server.requests.map(({ query }) => [query.get('limit'), query.get('labelSelector')]),
      Array.from({ length: 3 }, () => ['100', 'app in (x,y)']),
    );
  });

  it('starts a list again in one piece when its continuation has expired', async () => {
    await using server = await FakeApiServer.start((request, response) => {
      if (request.query.has('continue')) json(response, status(410, 'Expired'), 410);
      else
        json(response, { metadata: { resourceVersion: '9', ...(request.query.has('limit') && { continue: 'x' }) }, items: [pod('p', 1)] });
    });
    await using client = server.client();
    assert.equal((await client.list(pods)).items.length, 1);
    assert.deepEqual(
      server.requests.map(({ query }) => query.get('limit')),
      ['100', '100', null],
    );
  });

  it('sends names and selectors percent-encoded, the base path of the server and its own user agent', async () => {
    await using server = await FakeApiServer.start((_, response) => json(response, pod('x', 1)));
    const config = server.config();
    config.loadFromClusterAndUser({ name: 'c', server: `${server.url}/k8s/clusters/7/`, skipTLSVerify: false }, { name: 'u' });
    await using client = KubeClient.fromConfig(config, { fieldManager: 'test', userAgent: 'r2r/1' });
    await client.get(configMaps, { namespace: 'a', name: 'x/../y?z' });
    assert.equal(server.requests[0]!.path, '/k8s/clusters/7/api/v1/namespaces/a/configmaps/x%2F..%2Fy%3Fz');
    assert.equal(server.requests[0]!.headers['user-agent'], 'r2r/1');
  });

  it('counts requests by verb, resource and status', async () => {
    await using server = await FakeApiServer.start((request, response) =>
      request.path.endsWith('x') ? json(response, pod('x', 1)) : json(response, status(404, 'NotFound'), 404),
    );
    const registry = new Registry();
    await using client = server.client({ metrics: new KubeMetrics(registry) });
    await client.get(pods, key);
    assert.equal(await client.find(pods, { ...key, name: 'y' }), undefined);
    const text = await registry.metrics();
    assert.match(text, /kube_client_requests_total\{verb="get",resource="pods",code="200"\} 1/);
    assert.match(text, /kube_client_requests_total\{verb="get",resource="pods",code="404"\} 1/);
  });

  it('says which kubeconfig field is wrong', () => {
    const config = new KubeConfig();
    config.loadFromClusterAndUser({ name: 'c', server: 'ftp://x', skipTLSVerify: false }, { name: 'u' });
    assert.throws(
      () => KubeClient.fromConfig(config, { fieldManager: 'test' }),
      /cluster "c": server "ftp:\/\/x" must be an http or https URL/,
    );
  });
});
