import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { downloadModel, type DownloadedModel, type ModelDownloadOptions } from '../../../src/model/download/index.ts';
import { FetchError, type FetchErrorCode } from '../../../src/model/fetch/index.ts';
import { HubServer, sha256, type HubFile } from '../fetch/hub-server.ts';
import { filesIn, repository, slowly, wantedOf } from './models.ts';

const model = { org: 'org', repo: 'model', revision: 'main' };
const limits = { retryDelaysMs: [5, 5], answerMs: 2_000, windowMs: 500, windowBytes: 1_000, progressBytes: 2 ** 20 };

describe('models from a hub', function () {
  this.timeout(30_000);
  let hub: HubServer;
  let root: string;
  let folder: string;
  let files: Record<string, HubFile>;
  let commit: string;
  beforeEach(async () => {
    hub = await new HubServer().start();
    root = mkdtempSync(join(tmpdir(), 'r2r-model-'));
    folder = join(root, 'hub', 'org--model');
    files = repository();
    commit = hub.commit('org/model', files);
  });
  afterEach(async () => {
    await hub.stop();
    rmSync(root, { recursive: true });
  });

  const download = (change: Partial<ModelDownloadOptions> & { readonly token?: string } = {}, wanted = model): Promise<DownloadedModel> =>
    downloadModel(wanted, {
      hub: { endpoint: hub.url, token: change.token },
      folder,
      signal: new AbortController().signal,
      limits,
      lock: { beatMs: 50, staleMs: 300 },
      ...change,
    });
  const refused = (downloading: Promise<unknown>, code: FetchErrorCode, message: RegExp, retryable = false): Promise<void> =>
    assert.rejects(downloading, (error) => {
      assert.ok(error instanceof FetchError, inspect(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.equal(error.retryable, retryable, error.message);
      assert.doesNotMatch(inspect(error, { depth: 10 }), /secret/, 'errors hold no secrets');
      return true;
    });
  const totalBytes = (): number => [...wantedOf(files).values()].reduce((sum, { length }) => sum + length, 0);
  const weights = (index: number): HubFile => files[`model-0000${index}-of-00002.safetensors`]!;

  it('are there with what is needed to serve them and a manifest, from storage that hears no token', async () => {
    hub.tokens.set('org/model', ['secret-token']);
    const told: unknown[] = [];
    let bytes = 0;
    const result = await download({
      token: 'secret-token',
      events: { planned: (plan) => told.push(plan), changed: (count) => (bytes += count), finished: (path) => told.push(path) },
    });
    assert.deepEqual(result, { folder, commit, files: 7, bytes: totalBytes(), fresh: true });
    assert.deepEqual(filesIn(folder), wantedOf(files));
    assert.deepEqual(told[0], { commit, files: 7, totalBytes: totalBytes(), presentBytes: 0 });
    assert.equal(told.length, 8);
    assert.equal(bytes, totalBytes());
    const manifest = JSON.parse(readFileSync(join(folder, 'r2r-model.json'), 'utf8')) as {
      model: string;
      files: { path: string; digest: string }[];
    };
    assert.equal(manifest.model, 'hf://org/model@main');
    assert.equal(manifest.files.find(({ path }) => path.startsWith('model-00001'))?.digest, sha256(weights(1).bytes));
    assert.ok(hub.requests.every(({ host, headers }) => host === 'hub' || headers.authorization === undefined));
    assert.deepEqual(readdirSync(join(root, 'hub')), ['org--model'], 'lock and scratch files are gone');
    assert.ok(!readdirSync(folder).includes('.download'));
  });

  it('are not asked for again when they are whole, also by other deployments', async () => {
    await download();
    const asked = hub.requests.length;
    await hub.stop();
    const again = await download();
    assert.deepEqual([again.fresh, again.commit, again.bytes], [false, commit, totalBytes()]);
    assert.equal(hub.requests.length, asked);
  });

  it('stay at the commit that the branch was when the download began', async () => {
    slowly(hub, 50_000, () => Promise.resolve(false));
    await refused(download({ limits: { ...limits, retryDelaysMs: [] } }), 'FETCH_UNAVAILABLE', /cannot be read|ended after/, true);
    hub.intercept = () => false;
    hub.commit('org/model', repository([500_000, 100]));
    assert.equal((await download()).commit, commit);
    assert.deepEqual(filesIn(folder), wantedOf(files));
  });

  it('are those of the new commit when the one that was begun is gone from the hub', async () => {
    slowly(hub, 50_000, () => Promise.resolve(false));
    await refused(download({ limits: { ...limits, retryDelaysMs: [] } }), 'FETCH_UNAVAILABLE', /./, true);
    hub.intercept = () => false;
    // the second shard is another one
    const rewritten = { ...files, 'model-00002-of-00002.safetensors': { bytes: randomBytes(200_000), lfs: true } };
    const next = hub.commit('org/model', rewritten);
    hub.repositories.get('org/model')?.delete(commit);
    assert.equal((await download()).commit, next);
    assert.deepEqual(filesIn(folder), wantedOf(rewritten));
  });

  it('take up what has arrived of each file, several files at a time', async () => {
    let pieces = 0;
    slowly(hub, 50_000, () => sleep(5, ++pieces <= 7));
    await refused(download({ limits: { ...limits, retryDelaysMs: [] } }), 'FETCH_UNAVAILABLE', /./, true);
    const before = hub.bytesSent;
    hub.intercept = () => false;
    let present = 0;
    await download({ events: { planned: ({ presentBytes }) => (present = presentBytes) } });
    assert.deepEqual(filesIn(folder), wantedOf(files));
    assert.ok(present > 200_000, `${present} bytes were there`);
    assert.equal(hub.bytesSent - before, totalBytes() - present, 'nothing is sent twice');
    assert.ok(hub.asked('storage').some(({ headers }) => /^bytes=[1-9]/.test(headers.range ?? '')));
  });

  it('are mended, at the same commit, when files of theirs are lost', async () => {
    await download();
    hub.commit('org/model', repository([10, 10]));
    rmSync(join(folder, 'tokenizer.json'));
    truncateSync(join(folder, 'model-00002-of-00002.safetensors'), 5);
    const before = hub.bytesSent;
    const mended = await download();
    assert.deepEqual([mended.commit, mended.fresh], [commit, true]);
    assert.deepEqual(filesIn(folder), wantedOf(files));
    assert.equal(hub.bytesSent - before, 50_000 + 300_000);
  });

  it('are refused when what arrives twice is not what the hub lists, and are fetched anew then', async () => {
    const wrong = randomBytes(weights(1).bytes.length);
    hub.intercept = (request, response) => {
      if (!request.path.startsWith(`/${sha256(weights(1).bytes)}`)) return false;
      response.writeHead(200, { 'content-length': String(wrong.length) }).end(wrong);
      return true;
    };
    let bytes = 0;
    const changed = (count: number): void => void (bytes += count);
    await refused(
      download({ events: { changed } }),
      'FETCH_DIGEST_MISMATCH',
      /model-00001-of-00002\.safetensors@[0-9a-f]{40}: what .* sent has the digest .*, and it lists/,
    );
    assert.equal(hub.requests.filter(({ path, method }) => path.startsWith(`/${sha256(weights(1).bytes)}`) && method === 'GET').length, 2);
    assert.ok(bytes < totalBytes(), 'bytes that had to go do not count');
    hub.intercept = () => false;
    await download();
    assert.deepEqual(filesIn(folder), wantedOf(files));
  });

  it('are refused for a gated repository without a token, with one that has no access, and with one that is unknown', async () => {
    hub.tokens.set('org/model', ['good']);
    hub.gated.add('org/model');
    await refused(
      download(),
      'FETCH_DENIED',
      /config\.json@[0-9a-f]{40}: the repository is gated; accept its terms .* spec\.modelCache\.tokenSecretRef/,
    );
    await refused(download({ token: 'secret-other' }), 'FETCH_DENIED', /gated; ask for access on the repository's page/);
    await refused(download({ token: 'expired' }), 'FETCH_DENIED', /does not know the token/);
    assert.equal((await download({ token: 'good' })).commit, commit);
  });

  it('are refused where there is no such repository, or no such revision', async () => {
    await refused(
      download({}, { ...model, repo: 'none' }),
      'FETCH_DENIED',
      /no such repository, or it is private; .*spec\.modelCache\.tokenSecretRef/,
    );
    await refused(
      download({}, { ...model, revision: 'v9' }),
      'FETCH_NOT_FOUND',
      /hf:\/\/org\/model@v9: the repository has no such revision/,
    );
  });

  it('are refused where there is nothing to serve', async () => {
    hub.commit('org/pickle', { 'config.json': files['config.json']!, 'pytorch_model.bin': weights(1) });
    await refused(download({}, { ...model, repo: 'pickle' }), 'FETCH_UNSUPPORTED', /pickles/);
    assert.equal(hub.asked('storage').length, 0);
  });

  it('follow a repository that was renamed, a tag, and a branch with a slash', async () => {
    hub.renamed.set('old/name', 'org/model');
    assert.equal((await download({}, { org: 'old', repo: 'name', revision: 'main' })).commit, commit);
    const other = hub.commit('org/model', repository(), 'refs/pr/1');
    folder = join(root, 'hub', 'another');
    assert.equal((await download({}, { ...model, revision: 'refs/pr/1' })).commit, other);
  });

  it('may be retried while the hub is away or fails, and say so', async () => {
    let failures = 2;
    hub.intercept = (_, response) => {
      if (failures-- <= 0) return false;
      response.writeHead(503).end();
      return true;
    };
    await download();
    await hub.stop();
    folder = join(root, 'hub', 'another');
    await refused(download(), 'FETCH_UNAVAILABLE', /cannot be read \(ECONNREFUSED\)/, true);
  });

  it('are not begun where they have no room, and say how much is missing', function () {
    const small = join(root, 'small');
    mkdirSync(small);
    const mount = (megabytes: number, how: string): boolean =>
      spawnSync('mount', ['-t', 'tmpfs', '-o', `${how}size=${megabytes}m`, 'tmpfs', small]).status === 0;
    // a small file system is root's to make
    if (!mount(1, '')) return this.skip();
    return (async () => {
      try {
        folder = join(small, 'hub', 'org--model');
        const large = repository([1_500_000, 600_000]);
        hub.commit('org/model', large);
        await refused(
          download(),
          'FETCH_NO_SPACE',
          /needs 0\.002 GiB more in .*small.*, where 0\.001 GiB are free; enlarge the volume \(spec\.modelCache\.size\)/,
          true,
        );
        assert.equal(hub.asked('storage').length, 0);
        // it fills up on the way: what has arrived stays
        writeFileSync(join(small, 'ballast'), Buffer.alloc(0));
        assert.ok(mount(3, 'remount,'));
        let pieces = 0;
        slowly(hub, 100_000, () => {
          if (++pieces === 5) writeFileSync(join(small, 'ballast'), Buffer.alloc(1_400_000));
          return Promise.resolve(true);
        });
        await refused(download(), 'FETCH_NO_SPACE', /no room/, true);
        hub.intercept = () => false;
        assert.ok(mount(20, 'remount,'));
        let present = 0;
        await download({ events: { planned: ({ presentBytes }) => (present = presentBytes) } });
        assert.ok(present > 300_000, `${present} bytes stayed`);
        assert.deepEqual(filesIn(folder), wantedOf(large));
      } finally {
        assert.equal(spawnSync('umount', [small]).status, 0);
      }
    })();
  });

  it('say so when the cache cannot be written', async function () {
    if (process.getuid?.() === 0) {
      // root may write everywhere but into a file
      writeFileSync(join(root, 'hub'), '');
      return refused(download(), 'FETCH_CACHE', /the cache .* cannot be used .*make it a folder that user and group 10001 can write/);
    }
    chmodSync(root, 0o500);
    await refused(download(), 'FETCH_CACHE', /cannot be used/);
    chmodSync(root, 0o700);
  });

  it('end at once when they are told to, and go on later', async () => {
    const stop = new AbortController();
    slowly(hub, 20_000, () => {
      stop.abort(new Error('stopped'));
      return new Promise((resolve) => setTimeout(() => resolve(true), 20));
    });
    await assert.rejects(download({ signal: stop.signal }), /stopped/);
    hub.intercept = () => false;
    await download();
    assert.deepEqual(filesIn(folder), wantedOf(files));
  });
});
