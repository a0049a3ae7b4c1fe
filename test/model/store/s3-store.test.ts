import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { inspect } from 'node:util';
import { openBundle } from '../../../src/model/bundle.ts';
import { FetchError, type FetchErrorCode, type S3Settings } from '../../../src/model/fetch/index.ts';
import { BundleStore, S3Blobs } from '../../../src/model/store/index.ts';
import { makePair } from '../../router/certificates.ts';
import { FaultProxy, s3Answer } from '../../support/s3/fault-proxy.ts';
import { S3Server } from '../../support/s3/s3-server.ts';
import { makeBundle } from './bundles.ts';
import { storeContract } from './store-contract.ts';

const signal = new AbortController().signal;
const bucket = 'bundles';
const limits = { retryDelaysMs: [20, 40, 80, 160], answerMs: 5_000 };
const large = 20_000_000;

describe('bundles in an S3 object store', function () {
  this.timeout(60_000);
  let folder: string;
  let server: S3Server;
  let proxy: FaultProxy;
  let settings: S3Settings;
  before(async function () {
    // the server is built once for a machine
    this.timeout(900_000);
    folder = mkdtempSync(join(tmpdir(), 'r2r-s3-store-'));
    server = await S3Server.start({ folder: join(folder, 'server'), bucket });
    proxy = await FaultProxy.start(server.port);
    settings = { endpoint: server.endpoint, credentialsFolder: server.credentialsFolder };
  });
  after(async () => {
    await proxy.stop();
    await server.kill();
    rmSync(folder, { recursive: true });
  });
  afterEach(() => proxy.reset());

  let opened = 0;
  const open = (changes: Partial<S3Settings> = {}, prefix = `test${++opened}`, more = {}): S3Blobs =>
    new S3Blobs({ bucket, prefix, settings: { ...settings, ...changes }, limits: { ...limits, ...more } });
  const throughProxy = (prefix?: string, more = {}): S3Blobs => open({ endpoint: `http://127.0.0.1:${proxy.port}` }, prefix, more);

  async function refused(work: Promise<unknown>, code: FetchErrorCode, message: RegExp, retryable: boolean): Promise<void> {
    await assert.rejects(work, (error) => {
      assert.ok(error instanceof FetchError, inspect(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.equal(error.retryable, retryable);
      const everything = inspect(error, { depth: 10, showHidden: true });
      assert.doesNotMatch(everything, new RegExp(`${S3Server.secretAccessKey}|${S3Server.accessKeyId}|Signature=`));
      return true;
    });
  }

  describe('as any store', () => storeContract(() => open()));

  it('sends large files in parts, and lists more bundles than fit into a page', async () => {
    const blobs = throughProxy('large');
    const store = new BundleStore(blobs);
    const made = makeBundle(join(folder, 'large'), 11, large);
    const { digest } = await store.put(made.folder, signal);
    assert.equal(statSync(join(server.data, bucket, 'large/bundles', digest, 'router-fp32.bin')).size, large);
    const path = await store.get(digest, join(folder, 'large-cache'), signal);
    assert.equal((await openBundle(path)).digest, digest);
    assert.deepEqual(readFileSync(join(path, 'router-fp32.bin')), readFileSync(join(made.folder, 'router-fp32.bin')));
    // what is there is not sent again
    proxy.connections = 0;
    assert.equal((await store.put(made.folder, signal)).existed, true);
    for (let index = 0; index < 1_010; index++) {
      mkdirSync(join(server.data, bucket, 'many/bundles', index.toString(16).padStart(64, '0')), { recursive: true });
      writeFileSync(join(server.data, bucket, 'many/bundles', index.toString(16).padStart(64, '0'), 'bundle.json'), '{}');
    }
    assert.equal((await open({}, 'many').list('bundles/', signal)).length, 1_010);
  });

  it('goes on with a download where the connection broke, and tries uploads again', async () => {
    const made = makeBundle(join(folder, 'broken'), 12, large);
    const resumed = new Set<number>();
    const blobs = new S3Blobs({
      bucket,
      prefix: 'broken',
      settings: { ...settings, endpoint: `http://127.0.0.1:${proxy.port}` },
      limits,
      progress: ({ receivedBytes, resumedBytes, totalBytes }) => {
        assert.ok(receivedBytes >= resumedBytes);
        if (totalBytes === large) resumed.add(resumedBytes);
      },
    });
    const store = new BundleStore(blobs);
    // the third, fifth, … connection is reset in the middle of a part
    proxy.fault = (connection) => (connection % 2 === 1 ? { cutAfterSent: 3_000_000 } : undefined);
    const { digest } = await store.put(made.folder, signal);
    await blobs.close();
    proxy.reset();
    proxy.fault = () => ({ cutAfterReceived: 6_000_000 });
    await openBundle(await store.get(digest, join(folder, 'broken-cache'), signal));
    const starts = [...resumed];
    assert.ok(starts.length >= 4, `begun at ${starts.join(', ')}`);
    assert.deepEqual(
      starts,
      starts.toSorted((a, b) => a - b),
      'each goes on behind the one before',
    );
    assert.equal(starts[0], 0);
  });

  it('waits out a store that is asked too much, fails, or is slow', async () => {
    const made = makeBundle(join(folder, 'busy'), 13);
    const store = new BundleStore(throughProxy('busy'));
    const answers = [
      s3Answer(503, 'SlowDown'),
      s3Answer(500, 'InternalError'),
      'HTTP/1.1 502 Bad Gateway\r\ncontent-length: 4\r\n\r\n<htm',
    ];
    proxy.fault = (connection) => (connection < 3 ? { answer: answers[connection] ?? '' } : { delayMs: 5 });
    const { digest } = await store.put(made.folder, signal);
    assert.ok(proxy.connections > 3);
    await openBundle(await store.get(digest, join(folder, 'busy-cache'), signal));
  });

  for (const [what, answer, code, message, retryable] of [
    ['SlowDown', s3Answer(503, 'SlowDown'), 'FETCH_UNAVAILABLE', /asked too much \(SlowDown\)/, true],
    ['an error of the server', s3Answer(500, 'InternalError'), 'FETCH_UNAVAILABLE', /answered 500 \(InternalError\)/, true],
    ['a wrong clock', s3Answer(403, 'RequestTimeTooSkewed'), 'FETCH_CLOCK', /clock is wrong .*; set the clock of the node/, true],
    ['a full store', s3Answer(507, 'XMinioStorageFull'), 'FETCH_NO_SPACE', /no room left for the bucket bundles.*; free some space/, true],
    ['another region', s3Answer(400, 'AuthorizationHeaderMalformed'), 'FETCH_REFUSED', /another region .*; correct region/, false],
    ['an expired token', s3Answer(400, 'ExpiredToken'), 'FETCH_CREDENTIALS', /session-token has expired/, true],
    ['a page of a proxy', 'HTTP/1.1 407 Go away\r\ncontent-length: 5\r\n\r\n<html', 'FETCH_REFUSED', /answered 407/, false],
  ] as const)
    it(`says what it is about: ${what}`, async () => {
      proxy.fault = () => ({ answer });
      const work = throughProxy('fails').write('pins/x', Buffer.from('x'), signal);
      await refused(work, code, message, retryable);
      assert.equal(proxy.connections, retryable && code !== 'FETCH_NO_SPACE' ? 5 : 1);
    });

  it('names bucket, key, field and fix of what will not pass', async () => {
    const key = 'pins/x';
    const write = (blobs: S3Blobs): Promise<void> => blobs.write(key, Buffer.from('x'), signal);
    const noBucket = new S3Blobs({ bucket: 'none', settings, limits });
    await refused(
      write(noBucket),
      'FETCH_NOT_FOUND',
      /^s3:\/\/none\/pins\/x: there is no bucket none at .*; make the bucket, or correct/,
      false,
    );
    await refused(noBucket.read(key, signal), 'FETCH_NOT_FOUND', /there is no bucket none/, false);
    await refused(noBucket.list('pins/', signal), 'FETCH_NOT_FOUND', /there is no bucket none/, false);

    const wrong = (name: string, id: string, secret: string): string => {
      const path = join(folder, name);
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, 'AWS_ACCESS_KEY_ID'), id);
      writeFileSync(join(path, 'AWS_SECRET_ACCESS_KEY'), secret);
      return path;
    };
    const badSecret = open({ credentialsFolder: wrong('bad-secret', S3Server.accessKeyId, 'wrong') });
    await refused(write(badSecret), 'FETCH_CREDENTIALS', /secret-access-key is not the one that goes with access-key-id/, false);
    const badId = open({ credentialsFolder: wrong('bad-id', 'NOBODY', S3Server.secretAccessKey) });
    await refused(write(badId), 'FETCH_CREDENTIALS', /does not know access-key-id/, false);
    const broken = open({ credentialsFolder: wrong('bad-form', 'two\nlines', 'x') });
    await refused(write(broken), 'FETCH_CREDENTIALS', /AWS_ACCESS_KEY_ID has spaces or line breaks within/, false);
    const region = open({ region: 'Nowhere!' });
    await refused(write(region), 'FETCH_URI_INVALID', /region: "Nowhere!" is none/, false);
    const endpoint = open({ endpoint: 'https://user:secret@host' });
    await refused(write(endpoint), 'FETCH_URI_INVALID', /endpoint: the object store's address is none/, false);

    await server.addUser('stranger', 'stranger-secret');
    const stranger = open({ credentialsFolder: wrong('stranger', 'stranger', 'stranger-secret') });
    await refused(write(stranger), 'FETCH_DENIED', /denies access to the bucket bundles \(AccessDenied\); let these keys list/, false);
  });

  it('takes keys that arrive later, and others that replace them, without a restart', async () => {
    const late = join(folder, 'late');
    const blobs = open({ credentialsFolder: late }, 'late', { retryDelaysMs: [] });
    await refused(blobs.read('pins/x', signal), 'FETCH_CREDENTIALS', /there is no access-key-id in .*late yet; give the Secret/, true);
    cpSync(server.credentialsFolder, late, { recursive: true });
    assert.equal(await blobs.read('pins/x', signal), undefined);
    writeFileSync(join(late, 'secret-access-key'), 'other');
    await refused(blobs.read('pins/x', signal), 'FETCH_CREDENTIALS', /secret-access-key is not the one/, false);
  });

  it('says that nobody answers, and answers in time itself', async () => {
    const gone = open({ endpoint: 'http://127.0.0.1:1' });
    await refused(gone.read('pins/x', signal), 'FETCH_UNAVAILABLE', /127\.0\.0\.1:1 cannot be read \(ECONNREFUSED\)/, true);
    proxy.fault = () => ({ silent: true });
    const silent = throughProxy('silent', { answerMs: 150, retryDelaysMs: [10] });
    await refused(silent.read('pins/x', signal), 'FETCH_UNAVAILABLE', /did not answer within 150 ms/, true);
    const abort = new AbortController();
    const work = throughProxy('aborted').list('bundles/', abort.signal);
    abort.abort(new Error('enough'));
    await assert.rejects(work, /enough/);
  });

  it('speaks https with an authority of its own', async () => {
    const pair = await makePair(folder, 's3');
    const secure = await S3Server.start({ folder: join(folder, 'secure'), bucket, tls: pair });
    try {
      const changes = { endpoint: secure.endpoint, credentialsFolder: secure.credentialsFolder };
      const made = makeBundle(join(folder, 'tls'), 14);
      const trusting = new BundleStore(open({ ...changes, caFile: pair.certPath }));
      const { digest } = await trusting.put(made.folder, signal);
      await openBundle(await trusting.get(digest, join(folder, 'tls-cache'), signal));
      await refused(open(changes).read('pins/x', signal), 'FETCH_UNTRUSTED', /certificate of 127\.0\.0\.1:\d+ is not trusted/, false);
      await refused(
        open({ ...changes, caFile: pair.keyPath }).read('pins/x', signal),
        'FETCH_UNTRUSTED',
        /caFile: .* holds no certificate/,
        false,
      );
    } finally {
      await secure.kill();
    }
  });

  it('gives out nothing damaged', async () => {
    const made = makeBundle(join(folder, 'damaged'), 15);
    const store = new BundleStore(open({}, 'damaged'));
    const { digest } = await store.put(made.folder, signal);
    const object = join(server.data, bucket, 'damaged/bundles', digest, 'router-fp32.bin');
    const bytes = readFileSync(object);
    bytes[7] = (bytes[7] ?? 0) ^ 1;
    writeFileSync(object, bytes);
    const cache = join(folder, 'damaged-cache');
    await refused(store.get(digest, cache, signal), 'FETCH_DIGEST_MISMATCH', /router-fp32\.bin: .*sha256/, true);
    truncateSync(object, 100);
    await assert.rejects(store.get(digest, cache, signal), { code: 'FETCH_DIGEST_MISMATCH' });
    cpSync(join(made.folder, 'router-fp32.bin'), object);
    await openBundle(await store.get(digest, cache, signal));
  });

  it('survives an uploader and a server that are killed', async () => {
    const made = makeBundle(join(folder, 'killed'), 16, large);
    const program = join(import.meta.dirname, 'storing-process.ts');
    const endpoint = `http://127.0.0.1:${proxy.port}`;
    const upload = async (onLine: (bytes: number, kill: () => void) => void): Promise<string> => {
      const args = [program, made.folder, bucket, 'killed', endpoint, server.credentialsFolder];
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      const exited = once(child, 'exit');
      const watch = setInterval(() => onLine(proxy.sent, () => child.kill('SIGKILL')), 1);
      let last = '';
      for await (const line of createInterface({ input: child.stdout })) last = line;
      await exited;
      clearInterval(watch);
      return last;
    };
    const store = new BundleStore(throughProxy('killed'));
    for (const killAt of [1, 3_000_000, 9_000_000, 17_000_000, large]) {
      proxy.reset();
      await upload((sent, kill) => sent >= killAt && kill());
      for (const { digest } of await store.list(signal)) await openBundle(await store.get(digest, join(folder, 'killed-cache'), signal));
    }
    proxy.reset();
    let restarted: Promise<void> | undefined;
    const answer = await upload((sent) => {
      if (sent >= 100 && !restarted) restarted = server.kill().then(() => server.startAgain());
    });
    await restarted;
    assert.equal(answer, made.digest);
    await openBundle(await store.get(made.digest, join(folder, 'killed-cache-2'), signal));
    // a day later, nothing of the killed ones is left
    const later = new BundleStore(open({}, 'killed'), { now: () => Date.now() + 86_400_000 });
    await later.sweep(3_600_000, signal);
    assert.deepEqual(await server.unfinishedUploads(), []);
    await later.delete(made.digest, signal);
    assert.deepEqual([...(await open({}, 'killed').list('bundles/', signal)), ...(await open({}, 'killed').list('pins/', signal))], []);
  });
});
