import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Agent } from 'undici';
import { openBundle } from '../../../src/model/bundle.ts';
import { FetchError, fetchArtifact, keepNewestArtifacts, type FetchErrorCode, type S3Settings } from '../../../src/model/fetch/index.ts';
import { S3Blobs } from '../../../src/model/store/index.ts';
import { FaultProxy, s3Answer } from '../../support/s3/fault-proxy.ts';
import { S3Server } from '../../support/s3/s3-server.ts';
import { makeBundle, noise } from '../store/bundles.ts';
import { HubServer, sha256 } from './hub-server.ts';

const bucket = 'routers';
const size = 6_000_000;

describe('checkpoints and bundles from an S3 object store, and bundles by their digest', function () {
  this.timeout(60_000);
  let folder: string;
  let cacheFolder: string;
  let server: S3Server;
  let proxy: FaultProxy;
  let s3: S3Settings;
  let bytes: Buffer;
  let caches = 0;
  before(async function () {
    this.timeout(900_000);
    folder = mkdtempSync(join(tmpdir(), 'r2r-s3-'));
    server = await S3Server.start({ folder: join(folder, 'server'), bucket });
    proxy = await FaultProxy.start(server.port);
    s3 = { endpoint: `http://127.0.0.1:${proxy.port}`, credentialsFolder: server.credentialsFolder };
  });
  after(async () => {
    await proxy.stop();
    await server.kill();
    rmSync(folder, { recursive: true });
  });
  beforeEach(async () => {
    cacheFolder = join(folder, `cache${++caches}`);
    bytes = noise(caches, size);
    await put('pair/router.pt', bytes);
    proxy.reset();
  });

  /** As others do it: what lies in the server's folder has no entity tag. */
  const put = async (key: string, content: Uint8Array): Promise<void> => {
    const path = join(folder, 'to-put');
    writeFileSync(path, content);
    const direct = new S3Blobs({ bucket, settings: { ...s3, endpoint: server.endpoint } });
    await direct.upload(key, path, { sha256: sha256(content), bytes: content.length }, new AbortController().signal);
    await direct.close();
  };
  const get = (uri: string, more: Partial<Parameters<typeof fetchArtifact>[1]> = {}) =>
    fetchArtifact(uri, {
      cacheFolder,
      hub: { endpoint: 'https://hub.invalid' },
      s3,
      claimFolder: (claim) => `/models/${claim}`,
      signal: new AbortController().signal,
      limits: { retryDelaysMs: [10, 20, 40, 80], answerMs: 5_000, progressBytes: 100_000 },
      ...more,
    });
  const refused = (work: Promise<unknown>, code: FetchErrorCode, message: RegExp): Promise<void> =>
    assert.rejects(work, (error) => {
      assert.ok(error instanceof FetchError, String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      return true;
    });

  it('fetches a checkpoint once, and again when it has changed', async () => {
    const uri = `s3://${bucket}/pair/router.pt`;
    const first = await get(uri);
    assert.deepEqual([first.kind, first.digest, first.source, first.fresh], ['file', sha256(bytes), uri, true]);
    assert.deepEqual(readFileSync(first.path), bytes);
    proxy.reset();
    assert.deepEqual(await get(uri), first);
    assert.ok(proxy.received < 10_000, `${proxy.received} bytes to learn that nothing has changed`);
    await put('pair/router.pt', noise(99, size));
    assert.equal((await get(uri)).digest, sha256(noise(99, size)));
    proxy.reset();
    proxy.fault = () => ({ answer: s3Answer(503, 'SlowDown') });
    const stale = await get(uri);
    assert.deepEqual([stale.digest, stale.fresh], [sha256(noise(99, size)), false], 'what it had the last time');
  });

  it('goes on where connections broke, also within headers, and starts anew when the object has changed', async () => {
    proxy.fault = (connection) => (connection < 4 ? { cutAfterReceived: [40, 2_000_000, 900_000, 1_500_000][connection] ?? 0 } : undefined);
    const resumed: number[] = [];
    const progress = ({ resumedBytes }: { readonly resumedBytes: number }): void => {
      if (resumed.at(-1) !== resumedBytes) resumed.push(resumedBytes);
    };
    const uri = `s3://${bucket}/pair/router.pt`;
    assert.equal((await get(uri, { progress })).digest, sha256(bytes));
    assert.ok(resumed.length >= 3, resumed.join(', '));
    assert.deepEqual(
      resumed,
      resumed.toSorted((a, b) => a - b),
    );
    await put('pair/router.pt', noise(100, size));
    proxy.reset();
    proxy.fault = () => ({ cutAfterReceived: 1_000_000 });
    await refused(get(uri, { cacheFolder: `${cacheFolder}b`, limits: { retryDelaysMs: [] } }), 'FETCH_UNAVAILABLE', /cannot be read/);
    proxy.reset();
    await put('pair/router.pt', noise(101, size));
    resumed.length = 0;
    assert.equal((await get(uri, { cacheFolder: `${cacheFolder}b`, progress })).digest, sha256(noise(101, size)));
    assert.deepEqual(resumed, [0]);
    assert.deepEqual(readdirSync(join(cacheFolder, 'downloads')), []);
  });

  it('goes on where a killed process ended', async () => {
    const program = join(import.meta.dirname, 's3-fetching-process.ts');
    proxy.fault = () => ({ delayMs: 1 });
    const run = async (killAt = Infinity): Promise<string[]> => {
      const args = [program, `s3://${bucket}/pair/router.pt`, cacheFolder, s3.endpoint ?? '', server.credentialsFolder];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      const exited = once(child, 'exit');
      const lines: string[] = [];
      for await (const line of createInterface({ input: child.stdout })) {
        lines.push(line);
        if (Number(line) >= killAt) child.kill('SIGKILL');
      }
      await exited;
      return lines;
    };
    const starts: number[] = [];
    for (const killAt of [1_000_000, 2_500_000, 5_000_000]) starts.push(Number((await run(killAt))[0]));
    const last = await run();
    starts.push(Number(last[0]));
    assert.deepEqual(
      starts,
      starts.toSorted((a, b) => a - b),
    );
    assert.ok(starts[1] !== 0, `began at ${starts.join(', ')}`);
    assert.equal(last.at(-1), sha256(bytes));
  });

  it('keeps what has arrived when the disk is full, and goes on when there is room', async function () {
    const mount = (megabytes: number, how: string): boolean =>
      spawnSync('mount', ['-t', 'tmpfs', '-o', `${how}size=${megabytes}m`, 'tmpfs', cacheFolder]).status === 0;
    mkdirSync(cacheFolder);
    // a small file system is root's to make
    if (!mount(3, '')) return this.skip();
    try {
      await refused(
        get(`s3://${bucket}/pair/router.pt`),
        'FETCH_NO_SPACE',
        /no room for it in .*; what has arrived is kept; free some space/,
      );
      assert.ok(mount(30, 'remount,'));
      assert.equal((await get(`s3://${bucket}/pair/router.pt`)).digest, sha256(bytes));
    } finally {
      assert.equal(spawnSync('umount', [cacheFolder]).status, 0);
    }
  });

  it('refuses what is no object, and an object store that nobody has set up', async () => {
    await refused(
      get(`s3://${bucket}/pair/none.pt`),
      'FETCH_NOT_FOUND',
      /^s3:\/\/routers\/pair\/none\.pt: the bucket routers at .* no such object/,
    );
    await refused(get('s3://nowhere/router.pt'), 'FETCH_NOT_FOUND', /there is no bucket nowhere/);
    await refused(
      get(`s3://${bucket}/pair/router.pt`, { s3: undefined }),
      'FETCH_CREDENTIALS',
      /no object store is set up here; give its endpoint/,
    );
    for (const uri of [
      's3://Bucket/a.pt',
      's3://bucket',
      's3://bucket/',
      's3://b/a.pt',
      's3://bucket//a.pt',
      's3://bu..cket/a.pt',
      's3://u:p@bucket/a.pt',
    ])
      await refused(get(uri), 'FETCH_URI_INVALID', /no object in a bucket; write s3:\/\/<bucket>\/<key>/);
    for (const uri of ['s3://bucket/../a.pt', 's3://bucket/a/./b.pt']) await refused(get(uri), 'FETCH_URI_INVALID', /"\." or "\.\."/);
    await refused(get('s3://bucket/a%2e%2e/a.pt'), 'FETCH_URI_INVALID', /no object/);
    await refused(get('s3://bucket/folder'), 'FETCH_UNSUPPORTED', /only \.pt checkpoints and bundles by their digest/);
  });

  it('fetches a bundle by its digest, and asks for it once', async () => {
    const { folder: made, digest } = makeBundle(join(folder, `made${caches}`), caches, 2_000_000);
    cpSync(made, join(server.data, bucket, 'bundles', digest), { recursive: true });
    const uri = `s3://${bucket}/bundles/${digest}`;
    const fetched = await get(uri);
    assert.deepEqual([fetched.kind, fetched.digest, fetched.source, fetched.fresh], ['folder', digest, uri, true]);
    assert.equal((await openBundle(fetched.path)).digest, digest);
    proxy.reset();
    assert.deepEqual(await get(uri), fetched);
    assert.equal(proxy.connections, 0);
    // a bundle that was damaged in the cache is had again
    writeFileSync(join(fetched.path, 'router-fp32.onnx'), 'damaged');
    assert.equal((await openBundle((await get(uri)).path)).digest, digest);
    await keepNewestArtifacts(cacheFolder, 1, -1);
    assert.deepEqual(readdirSync(join(cacheFolder, 'fetched-bundles')), [digest]);
    assert.deepEqual(readdirSync(join(cacheFolder, 'bundle-files/s3')), []);
    await keepNewestArtifacts(cacheFolder, 0, -1);
    assert.deepEqual(readdirSync(join(cacheFolder, 'fetched-bundles')), []);
  });

  it('believes no server: a bundle is what its digest says', async () => {
    const one = makeBundle(join(folder, `one${caches}`), 1_000 + caches);
    const other = makeBundle(join(folder, `other${caches}`), 2_000 + caches);
    const place = join(server.data, bucket, 'bundles', one.digest);
    const uri = `s3://${bucket}/bundles/${one.digest}`;
    cpSync(other.folder, place, { recursive: true });
    await refused(get(uri), 'FETCH_DIGEST_MISMATCH', /bundle\.json: its sha256 is [0-9a-f]{64}, that of the bundle's file is/);
    cpSync(join(one.folder, 'bundle.json'), join(place, 'bundle.json'));
    await refused(get(uri), 'FETCH_DIGEST_MISMATCH', /router-fp32\.onnx: its sha256/);
    cpSync(one.folder, place, { recursive: true });
    writeFileSync(join(place, 'router-fp32.bin'), noise(1, 50_000));
    await refused(get(uri), 'FETCH_TOO_LARGE', /larger than 5000 bytes/);
    cpSync(one.folder, place, { recursive: true });
    assert.equal((await openBundle((await get(uri)).path)).digest, one.digest);
  });

  it('fetches a bundle from the hub', async () => {
    const hub = await new HubServer().start();
    try {
      const { folder: made, digest } = makeBundle(join(folder, `hub${caches}`), 3_000 + caches);
      const files = readdirSync(made).map((name) => [
        `bundles/${digest}/${name}`,
        { bytes: readFileSync(join(made, name)), lfs: name.endsWith('.bin') },
      ]);
      hub.commit('org/repo', Object.fromEntries(files) as never);
      const fetched = await get(`hf://org/repo/bundles/${digest}@main`, { hub: { endpoint: hub.url } });
      assert.equal((await openBundle(fetched.path)).digest, digest);
    } finally {
      await hub.stop();
    }
  });

  it('gives every one of many fetches at once the whole bundle', async () => {
    const { folder: made, digest } = makeBundle(join(folder, `many${caches}`), 4_000 + caches, 1_000_000);
    cpSync(made, join(server.data, bucket, 'bundles', digest), { recursive: true });
    const dispatcher = new Agent();
    const all = await Promise.all(Array.from({ length: 6 }, () => get(`s3://${bucket}/bundles/${digest}`, { dispatcher })));
    for (const { path } of all) assert.equal((await openBundle(path)).digest, digest);
    assert.deepEqual(readdirSync(join(cacheFolder, 'fetched-bundles')), [digest]);
    await dispatcher.close();
  });
});
