import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent } from 'undici';
import { checkpointUri } from '../../../src/api/checkpoint-uri.ts';
import { openBundle } from '../../../src/model/bundle.ts';
import { parseArtifactUri } from '../../../src/model/fetch/artifact-uri.ts';
import { FetchError, fetchArtifact, type FetchErrorCode } from '../../../src/model/fetch/index.ts';
import { makePair } from '../../router/certificates.ts';
import { makeBundle } from '../store/bundles.ts';
import { sendRange, sha256, type Received } from './hub-server.ts';

describe('checkpoints by path, from claims and over https', () => {
  let folder: string;
  let cacheFolder: string;
  let server: Server;
  let url: string;
  let trusting: Agent;
  let bytes: Buffer;
  let etag: string | undefined;
  let requests: Received[];
  let intercept: (request: Received, response: ServerResponse) => boolean;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'r2r-web-'));
    const { cert, key } = await makePair(folder, 'web');
    trusting = new Agent({ connect: { ca: cert } });
    server = createServer({ cert, key }, ({ method = '', url: path = '', headers }, response) => {
      const request: Received = { host: 'storage', method, path, headers, bytesSent: 0 };
      requests.push(request);
      if (intercept(request, response)) return;
      if (etag !== undefined && headers['if-none-match'] === etag) response.writeHead(304).end();
      else sendRange(request, response, bytes, etag === undefined ? {} : { etag });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/files/router.pt`;
  });
  after(async () => {
    await trusting.destroy();
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => {
    cacheFolder = mkdtempSync(join(folder, 'cache-'));
    bytes = randomBytes(200_000);
    etag = '"v1"';
    requests = [];
    intercept = () => false;
  });

  const get = (uri = url, dispatcher = trusting, maxBytes = 1e6) =>
    fetchArtifact(uri, {
      cacheFolder,
      hub: { endpoint: 'https://hub.invalid' },
      claimFolder: (claim) => join(folder, 'claims', claim),
      signal: new AbortController().signal,
      limits: { retryDelaysMs: [5, 5], windowMs: 100, windowBytes: 1_000, maxBytes },
      dispatcher,
    });
  const refused = async (fetching: Promise<unknown>, code: FetchErrorCode, message: RegExp, retryable = false): Promise<void> => {
    await assert.rejects(fetching, (error) => {
      assert.ok(error instanceof FetchError, String(error));
      assert.deepEqual([error.code, error.retryable], [code, retryable], error.message);
      assert.match(error.message, message);
      return true;
    });
  };
  const cutAfter = (count: number, times: number): void => {
    intercept = ({ headers }, response) => {
      if (times-- <= 0) return false;
      const start = Number(/\d+/.exec(headers.range ?? '')?.[0] ?? 0);
      const range = { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
      const tag = etag === undefined ? {} : { etag };
      response.writeHead(start > 0 ? 206 : 200, { ...tag, 'content-length': String(bytes.length - start), ...(start > 0 && range) });
      response.write(bytes.subarray(start, start + count), () => response.destroy());
      return true;
    };
  };
  const downloads = (): readonly string[] => readdirSync(join(cacheFolder, 'downloads'));

  it('downloads once as long as the server says that it is the same, and again when it is another', async () => {
    const first = await get();
    assert.deepEqual([first.digest, first.source, first.fresh], [sha256(bytes), url, true]);
    assert.deepEqual(readFileSync(first.path), bytes);
    assert.deepEqual(await get(), first);
    assert.equal(requests[1]?.bytesSent, 0);
    [bytes, etag] = [randomBytes(1_000), '"v2"'];
    assert.equal((await get()).digest, sha256(bytes));
  });

  it('takes what it had when the server is away', async () => {
    const { path } = await get();
    intercept = (_, response) => {
      response.destroy();
      return true;
    };
    const { path: again, fresh } = await get();
    assert.deepEqual([again, fresh], [path, false]);
  });

  it('resumes the same version, in the same fetch and the next', async () => {
    cutAfter(50_000, 4);
    await refused(get(), 'FETCH_UNAVAILABLE', /cannot be read/, true);
    assert.equal((await get()).digest, sha256(bytes));
    const sent = requests.map(({ headers }) => [headers.range, headers['if-range']]);
    const expected = ['bytes=50000-', 'bytes=100000-', 'bytes=150000-'].map((range) => [range, '"v1"']);
    assert.deepEqual(sent.slice(0, 4), [[undefined, undefined], ...expected]);
    assert.deepEqual(downloads(), []);
  });

  it('starts over when the file has changed meanwhile, or its versions have no names', async () => {
    cutAfter(50_000, 1);
    const cut = intercept;
    intercept = (request, response) => {
      const done = cut(request, response);
      if (done) [bytes, etag] = [randomBytes(150_000), '"v2"'];
      return done;
    };
    assert.equal((await get()).digest, sha256(bytes));
    etag = undefined;
    cutAfter(50_000, 1);
    bytes = randomBytes(150_000);
    assert.equal((await get()).digest, sha256(bytes));
    assert.deepEqual(downloads(), []);
  });

  it('gives up a body that drips', async () => {
    intercept = (_, response) => {
      response.writeHead(200, { etag: '"v1"' });
      const timer = setInterval(() => response.write('x'), 5);
      response.on('close', () => clearInterval(timer));
      return true;
    };
    await refused(get(), 'FETCH_UNAVAILABLE', /sent \d+ bytes in 100 ms/, true);
  });

  const answers: readonly (readonly [string, (response: ServerResponse) => void, FetchErrorCode, RegExp])[] = [
    [
      'leads to http://',
      (response) => response.writeHead(302, { location: 'http://127.0.0.1:9/router.pt' }).end(),
      'FETCH_REDIRECT',
      /leads to http:\/\/127\.0\.0\.1:9, and only https/,
    ],
    [
      'leads to itself',
      (response) => response.writeHead(302, { location: '/files/router.pt' }).end(),
      'FETCH_REDIRECT',
      /leads in a circle/,
    ],
    ['leads nowhere', (response) => response.writeHead(302).end(), 'FETCH_REDIRECT', /without saying where to go/],
    ['wants a login', (response) => response.writeHead(401).end(), 'FETCH_DENIED', /not give it to everybody/],
    ['has nothing', (response) => response.writeHead(404).end(), 'FETCH_NOT_FOUND', /has no such file \(404\)/],
    [
      'announces too much',
      (response) => response.writeHead(200, { 'content-length': '1000001' }).write('x'),
      'FETCH_TOO_LARGE',
      /larger than 1000000/,
    ],
    ['sends too much', (response) => response.writeHead(200).end(Buffer.alloc(1_000_001)), 'FETCH_TOO_LARGE', /larger than 1000000/],
  ];
  for (const [what, answer, code, message] of answers)
    it(`refuses at once when the server ${what}`, async () => {
      intercept = (_, response) => {
        answer(response);
        return true;
      };
      await refused(get(), code, message);
      assert.equal(requests.length, 1);
    });

  it('refuses compressed bytes and certificates that nobody vouches for', async () => {
    intercept = (_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(bytes);
      return true;
    };
    await refused(get(), 'FETCH_PROTOCOL', /sends it as gzip, which was not asked for/, true);
    const direct = new Agent();
    await refused(get(url, direct), 'FETCH_UNTRUSTED', /certificate of 127\.0\.0\.1:\d+ is not trusted/);
    await direct.destroy();
  });

  it('fetches a bundle by its digest', async () => {
    const { folder: made, digest } = makeBundle(join(folder, 'made'), 5);
    intercept = (request, response) => {
      const name = request.path.split('/').at(-1) ?? '';
      sendRange(request, response, readFileSync(join(made, name)), {});
      return true;
    };
    const fetched = await get(url.replace('router.pt', digest));
    assert.deepEqual([fetched.kind, fetched.digest], ['folder', digest]);
    assert.equal((await openBundle(fetched.path)).digest, digest);
    assert.equal(requests.length, 3);
  });

  it('reads what lies on a claim, and no link that leads out of it', async () => {
    const claim = join(folder, 'claims/models');
    mkdirSync(join(claim, 'bundle'), { recursive: true });
    writeFileSync(join(claim, 'router.pt'), bytes);
    symlinkSync(join(folder, 'web.key'), join(claim, 'key.pt'));
    const file = await get('pvc://models/router.pt');
    assert.deepEqual(file, {
      path: join(claim, 'router.pt'),
      kind: 'file',
      digest: sha256(bytes),
      source: 'pvc://models/router.pt',
      fresh: true,
    });
    assert.deepEqual([(await get('pvc://models/bundle')).kind, (await get('pvc://models/bundle')).digest], ['folder', null]);
    assert.equal((await get(join(claim, 'router.pt'))).source, 'file:router.pt');
    await refused(get('pvc://models/key.pt'), 'FETCH_URI_INVALID', /link that leads out of the claim/);
    await refused(get('pvc://other/router.pt'), 'FETCH_NOT_FOUND', /check that the claim other is mounted/);
    await refused(get('/dev/null'), 'FETCH_UNSUPPORTED', /neither a file nor a folder/);
    await refused(get(join(folder, 'none.pt')), 'FETCH_NOT_FOUND', /correct the path/);
  });

  for (const [uri, code, message] of [
    ['org/repo', 'FETCH_URI_INVALID', /relative path, which is neither looked up here nor tried as the name of a repository/],
    ['resource/default_router.pt', 'FETCH_URI_INVALID', /relative path/],
    ['', 'FETCH_URI_INVALID', /is no address/],
    ['http://host/router.pt', 'FETCH_URI_INVALID', /write https:\/\//],
    ['ftp://host/router.pt', 'FETCH_URI_INVALID', /nothing is fetched over ftp/],
    ['https://user:secret@host/router.pt', 'FETCH_URI_INVALID', /^https:\/\/host\/router\.pt: has a user, query or fragment/],
    ['https://host/router.pt?signature=secret', 'FETCH_URI_INVALID', /^https:\/\/host\/router\.pt: has a user, query or fragment/],
    ['https://host/a/../router.pt', 'FETCH_URI_INVALID', /"\." or "\.\."/],
    ['https://host/a/%2e%2E/router.pt', 'FETCH_URI_INVALID', /"\." or "\.\."/],
    ['https://host/bundle.tar', 'FETCH_UNSUPPORTED', /only \.pt checkpoints and bundles by their digest are downloaded/],
    ['hf://org/repo', 'FETCH_URI_INVALID', /write hf:\/\/<org>\/<repo>\/<file>@<revision>/],
    ['hf://org/repo/router.pt', 'FETCH_URI_INVALID', /write hf:/],
    ['hf://org/repo/../router.pt@main', 'FETCH_URI_INVALID', /"\." or "\.\."/],
    ['hf://org/repo/router.pt@a/../../b', 'FETCH_URI_INVALID', /"\." or "\.\."/],
    ['pvc://claim', 'FETCH_URI_INVALID', /write pvc:/],
    ['pvc://claim/../other/router.pt', 'FETCH_URI_INVALID', /"\." or "\.\."/],
    ['pvc://Claim/router.pt', 'FETCH_URI_INVALID', /write pvc:/],
    ['/models/../etc/passwd', 'FETCH_URI_INVALID', /"\." or "\.\."/],
    ['/models/a\nb.pt', 'FETCH_URI_INVALID', /control characters/],
  ] as const)
    it(`refuses ${JSON.stringify(uri)}`, () => refused(get(uri), code, message));

  it('knows every form that the resource allows', () => {
    assert.ok(checkpointUri.safeParse('/models/router.pt').success);
    for (const uri of [
      '/models/router.pt',
      'pvc://a.b-c/x/y',
      'https://host.example:8443/a%20b/router.pt',
      'hf://org/repo/a/b.pt@refs/pr/1',
      's3://bucket.name/a/b=1/router.pt',
    ]) {
      assert.ok(checkpointUri.safeParse(uri).success);
      assert.equal(parseArtifactUri(uri).uri, uri);
    }
  });
});
