import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { FetchError, fetchArtifact, type FetchErrorCode, type FetchLimits, type FetchProgress } from '../../../src/model/fetch/index.ts';
import { HubServer, sha256, type HubFile, type Received } from './hub-server.ts';

const quick: Partial<FetchLimits> = {
  retryDelaysMs: [5, 5, 5, 5],
  answerMs: 2_000,
  windowMs: 100,
  windowBytes: 1_000,
  progressBytes: 50_000,
};
const address = 'hf://org/repo/models/router.pt@main';

describe('checkpoints from a Hugging Face hub', () => {
  let hub: HubServer;
  let cacheFolder: string;
  let large: HubFile;
  beforeEach(async () => {
    hub = await new HubServer().start();
    cacheFolder = mkdtempSync(join(tmpdir(), 'r2r-fetch-'));
    large = { bytes: randomBytes(300_000), lfs: true };
  });
  afterEach(async () => {
    await hub.stop();
    rmSync(cacheFolder, { recursive: true });
  });

  interface Change {
    readonly token?: string;
    readonly limits?: Partial<FetchLimits>;
    readonly progress?: (progress: FetchProgress) => void;
    readonly signal?: AbortSignal;
    readonly endpoint?: string;
  }
  const get = (uri = address, { token, limits, progress, signal, endpoint }: Change = {}) =>
    fetchArtifact(uri, {
      cacheFolder,
      hub: { endpoint: endpoint ?? hub.url, token },
      claimFolder: (claim) => `/models/${claim}`,
      signal: signal ?? new AbortController().signal,
      limits: { ...quick, ...limits },
      ...(progress && { progress }),
    });
  const refused = async (fetching: Promise<unknown>, code: FetchErrorCode, message: RegExp, retryable = false): Promise<void> => {
    await assert.rejects(fetching, (error) => {
      assert.ok(error instanceof FetchError, inspect(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.equal(error.retryable, retryable);
      assert.doesNotMatch(inspect(error, { depth: 10 }), /secret/, 'errors hold no secrets');
      return true;
    });
  };
  /** Sends the first bytes of a file and breaks the connection, so many times. */
  const cutAfter = (bytes: number, times: number): void => {
    hub.intercept = ({ host, headers }, response) => {
      if (host !== 'storage' || times-- <= 0) return false;
      const start = Number(/\d+/.exec(headers.range ?? '')?.[0] ?? 0);
      const range = { 'content-range': `bytes ${start}-${large.bytes.length - 1}/${large.bytes.length}` };
      response.writeHead(start > 0 ? 206 : 200, { 'content-length': String(large.bytes.length - start), ...(start > 0 && range) });
      response.write(large.bytes.subarray(start, start + bytes), () => response.destroy());
      return true;
    };
  };
  const downloads = (): readonly string[] => readdirSync(join(cacheFolder, 'downloads'));

  it('fetches a large file from storage that hears no token, and says which commit it is of', async () => {
    const commit = hub.commit('org/repo', { 'models/router.pt': large });
    hub.tokens.set('org/repo', ['secret-token']);
    const seen: FetchProgress[] = [];
    const { path, digest, source, kind, fresh } = await get(address, { token: 'secret-token', progress: (each) => seen.push(each) });
    assert.deepEqual(readFileSync(path), Buffer.from(large.bytes));
    assert.deepEqual([digest, kind, fresh], [sha256(large.bytes), 'file', true]);
    assert.equal(source, `hf://org/repo/models/router.pt@${commit}`);
    assert.ok(path.startsWith(cacheFolder) && path.endsWith('/router.pt'));
    assert.deepEqual(seen.at(-1), { receivedBytes: 300_000, resumedBytes: 0, totalBytes: 300_000 });
    assert.deepEqual(
      hub.asked('hub').map(({ path: asked }) => asked),
      [`/org/repo/resolve/${commit}/models/router.pt`],
    );
    assert.ok(hub.requests.every(({ host, headers }) => (headers.authorization === undefined) === (host === 'storage')));
    assert.ok(hub.requests.every(({ headers }) => headers['accept-encoding'] === 'identity'));
    assert.deepEqual(downloads(), []);
  });

  it('fetches a small file of the repository itself, checked against its git object', async () => {
    const commit = hub.commit('org/repo', { 'models/router.pt': { bytes: large.bytes, lfs: false } });
    assert.equal((await get()).source, `hf://org/repo/models/router.pt@${commit}`);
    assert.equal(hub.asked('storage').length, 0);
  });

  it('needs no network for a commit that it has, and asks which commit a branch is', async () => {
    const commit = hub.commit('org/repo', { 'models/router.pt': large });
    const pinned = address.replace('main', commit);
    const { path } = await get(pinned);
    const asked = hub.requests.length;
    assert.equal((await get(pinned)).path, path);
    assert.equal(hub.requests.length, asked);
    await get();
    const before = hub.bytesSent;
    assert.equal((await get()).source, pinned);
    assert.equal(hub.bytesSent, before);
    await hub.stop();
    assert.equal((await get(pinned)).fresh, true);
    assert.deepEqual(await get().then(({ source, fresh }) => [source, fresh]), [pinned, false]);
  });

  it('downloads nothing again when a branch moves and the file stays', async () => {
    hub.commit('org/repo', { 'models/router.pt': large });
    await get();
    const moved = hub.commit('org/repo', { 'models/router.pt': large, 'README.md': { bytes: Buffer.from('new'), lfs: false } });
    const { source, path } = await get();
    assert.equal(source, `hf://org/repo/models/router.pt@${moved}`);
    assert.equal(sha256(readFileSync(path)), sha256(large.bytes));
    assert.equal(hub.bytesSent, 300_000);
  });

  it('downloads again what was damaged in the cache', async () => {
    const commit = hub.commit('org/repo', { 'models/router.pt': large });
    const { path } = await get();
    const damaged = Buffer.from(large.bytes);
    damaged[1000]! ^= 1;
    writeFileSync(path, damaged);
    assert.equal(sha256(readFileSync((await get(address.replace('main', commit))).path)), sha256(large.bytes));
  });

  it('resumes where connections break, and downloads nothing twice', async () => {
    hub.commit('org/repo', { 'models/router.pt': large });
    cutAfter(70_000, 3);
    const { digest } = await get();
    assert.equal(digest, sha256(large.bytes));
    assert.deepEqual(
      hub.asked('storage').map(({ headers }) => headers.range),
      [undefined, 'bytes=70000-', 'bytes=140000-', 'bytes=210000-'],
    );
    assert.deepEqual(downloads(), []);
  });

  it('gives up after some tries, and another fetch goes on', async () => {
    hub.commit('org/repo', { 'models/router.pt': large });
    cutAfter(1_000, 5);
    await refused(get(), 'FETCH_UNAVAILABLE', /cannot be read/, true);
    assert.equal(downloads().length, 1);
    assert.equal((await get()).digest, sha256(large.bytes));
    assert.equal(hub.asked('storage').at(-1)?.headers.range, 'bytes=5000-');
    assert.deepEqual(downloads(), []);
  });

  it('tries on as long as tries bring much', async () => {
    hub.commit('org/repo', { 'models/router.pt': { ...large, bytes: (large = { bytes: randomBytes(900_000), lfs: true }).bytes } });
    cutAfter(60_000, 14);
    assert.equal((await get()).digest, sha256(large.bytes));
  });

  it('stays with the commit it began with when the branch moves between two tries', async () => {
    const commit = hub.commit('org/repo', { 'models/router.pt': large });
    cutAfter(70_000, 1);
    const cut = hub.intercept;
    hub.intercept = (request, response) => {
      if (!cut(request, response)) return false;
      hub.commit('org/repo', { 'models/router.pt': { bytes: randomBytes(300_000), lfs: true } });
      return true;
    };
    const { source, digest } = await get();
    assert.deepEqual([source, digest], [`hf://org/repo/models/router.pt@${commit}`, sha256(large.bytes)]);
  });

  it('starts over where storage knows no ranges', async () => {
    hub.commit('org/repo', { 'models/router.pt': large });
    cutAfter(70_000, 1);
    const cut = hub.intercept;
    hub.intercept = (request, response) => {
      if (request.host !== 'storage' || cut(request, response)) return request.host === 'storage';
      response.writeHead(200).end(large.bytes);
      return true;
    };
    assert.equal((await get()).digest, sha256(large.bytes));
  });

  it('waits as long as the hub asks for, and no longer than it may', async () => {
    hub.commit('org/repo', { 'models/router.pt': large });
    let busy = 2;
    let wait = '1';
    hub.intercept = (_, response) => {
      if (busy-- <= 0) return false;
      response.writeHead(429, { 'retry-after': wait }).end();
      return true;
    };
    const started = performance.now();
    await get();
    assert.ok(performance.now() - started >= 1_990, 'two waits of a second');
    [busy, wait] = [1, '3600'];
    rmSync(join(cacheFolder, 'hf'), { recursive: true });
    await refused(get(), 'FETCH_UNAVAILABLE', /answered 429/, true);
  });

  for (const [what, answer] of Object.entries({
    'answers 503': (response: ServerResponse): void => {
      response.writeHead(503).end();
    },
    'breaks connections': (response: ServerResponse): void => {
      response.destroy();
    },
    'never answers': (): void => undefined,
  }))
    it(`tries five times when the hub ${what}, and says that it may pass`, async () => {
      hub.commit('org/repo', { 'models/router.pt': large });
      let fails = 4;
      hub.intercept = (_, response) => {
        if (fails-- <= 0) return false;
        answer(response);
        return true;
      };
      await get(address, { limits: { answerMs: 100 } });
      fails = 5;
      rmSync(join(cacheFolder, 'hf'), { recursive: true });
      await refused(get(address, { limits: { answerMs: 100 } }), 'FETCH_UNAVAILABLE', /; check the network, or try again later$/, true);
    });

  it('gives up a body that drips, and resumes', async () => {
    hub.commit('org/repo', { 'models/router.pt': large });
    let drips = 1;
    hub.intercept = ({ host }, response) => {
      if (host !== 'storage' || drips-- <= 0) return false;
      response.writeHead(200, { 'content-length': '300000' });
      let at = 0;
      const timer = setInterval(() => response.write(large.bytes.subarray(at, ++at)), 5);
      response.on('close', () => clearInterval(timer));
      return true;
    };
    assert.equal((await get()).digest, sha256(large.bytes));
    assert.match(hub.asked('storage')[1]?.headers.range ?? '', /^bytes=\d+-$/);
  });

  it('refuses bytes of another digest, after a second try from the start', async () => {
    hub.commit('org/repo', { 'models/router.pt': large });
    hub.intercept = ({ host }, response) => {
      if (host === 'storage') response.end(randomBytes(300_000));
      return host === 'storage';
    };
    await refused(get(), 'FETCH_DIGEST_MISMATCH', /has the digest [0-9a-f]{64}, and it lists [0-9a-f]{64}/);
    assert.equal(hub.asked('storage').length, 2);
    assert.deepEqual(downloads(), []);
  });

  it('follows a renamed repository with its token, and refuses circles, http:// from https:// and hosts without end', async () => {
    hub.commit('org/new', { 'models/router.pt': large });
    hub.tokens.set('org/new', ['secret-token']);
    hub.renamed.set('org/repo', 'org/new');
    assert.equal((await get(address, { token: 'secret-token' })).digest, sha256(large.bytes));
    hub.renamed.set('org/new', 'org/repo');
    await refused(get('hf://org/new/models/router.pt@main'), 'FETCH_REDIRECT', /leads in a circle/);
    hub.intercept = ({ path }, response) => {
      response.writeHead(302, { location: `${path}x` }).end();
      return true;
    };
    await refused(get('hf://org/new/models/router.pt@main'), 'FETCH_REDIRECT', /more than 5 redirects/);
  });

  const refusals: readonly (readonly [string, string, Change, FetchErrorCode, RegExp])[] = [
    [
      'a repository that is not there, or private',
      'hf://org/none/router.pt@main',
      {},
      'FETCH_DENIED',
      /no such repository, or it is private; correct its name; if it is private, give a token/,
    ],
    ['a gated one with a token that was not let in', address, { token: 'secret-other' }, 'FETCH_DENIED', /gated; ask for access/],
    ['an expired token', address, { token: 'expired' }, 'FETCH_DENIED', /does not know the token .*; give another token/],
    [
      'a revision that is not there',
      address.replace('main', 'v9'),
      { token: 'secret-token' },
      'FETCH_NOT_FOUND',
      /no such revision; correct what stands behind the @/,
    ],
    [
      'a file that is not there',
      address.replace('router', 'other'),
      { token: 'secret-token' },
      'FETCH_NOT_FOUND',
      /no such file at this revision/,
    ],
    ['a token with a line break', address, { token: 'secret\ntoken' }, 'FETCH_TOKEN', /store the token alone/],
    [
      'a token over http',
      address,
      { token: 'secret-token', endpoint: 'http://hub.invalid' },
      'FETCH_TOKEN',
      /not sent to hub.invalid over http/,
    ],
    ['an endpoint that is none', address, { endpoint: 'hub' }, 'FETCH_URI_INVALID', /set HF_ENDPOINT/],
    [
      'a file that is no checkpoint',
      address.replace('.pt', '.tar'),
      {},
      'FETCH_UNSUPPORTED',
      /only .pt checkpoints and bundles by their digest are downloaded; name the checkpoint's .pt file/,
    ],
    [
      'a file that is too large',
      address,
      { token: 'secret-token', limits: { maxBytes: 299_999 } },
      'FETCH_TOO_LARGE',
      /larger than 299999 bytes/,
    ],
  ];
  for (const [what, uri, change, code, message] of refusals)
    it(`refuses ${what} at once`, async () => {
      hub.commit('org/repo', { 'models/router.pt': large });
      hub.tokens.set('org/repo', ['secret-token']);
      await refused(get(uri, change), code, message);
      assert.ok(hub.requests.length <= 3);
    });

  it('refuses a server that is no hub', async () => {
    hub.intercept = (_, response) => {
      response.end('<html>Welcome to the proxy');
      return true;
    };
    await refused(get(), 'FETCH_PROTOCOL', /does not say which commit and digest .*; check HF_ENDPOINT/);
  });

  it('leaves what has arrived when it is stopped', async () => {
    hub.commit('org/repo', { 'models/router.pt': large });
    const stop = new AbortController();
    const reason = new Error('stopped');
    hub.intercept = ({ host, headers }: Received, response) => {
      if (host !== 'storage' || headers.range !== undefined) return false;
      response.writeHead(200, { 'content-length': '300000' }).write(large.bytes.subarray(0, 100_000));
      return true;
    };
    const progress = ({ receivedBytes }: FetchProgress): void => {
      if (receivedBytes === 100_000) stop.abort(reason);
    };
    await assert.rejects(get(address, { signal: stop.signal, progress, limits: { windowMs: 5_000 } }), (error) => error === reason);
    await get();
    assert.equal(hub.asked('storage')[1]?.headers.range, 'bytes=100000-');
  });

  it('gives every one of many fetches at once the whole file', async () => {
    hub.commit('org/repo', { 'models/router.pt': large });
    cutAfter(70_000, 4);
    const all = await Promise.all(Array.from({ length: 8 }, () => get()));
    for (const { path } of all) assert.equal(sha256(readFileSync(path)), sha256(large.bytes));
    assert.deepEqual(downloads(), []);
  });
});
