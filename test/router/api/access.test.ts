import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type SecureVersion, type TLSSocket } from 'node:tls';
import { watchTlsFiles } from '../../../src/router/api/tls.ts';
import { ask, complete, post, type Refusal } from '../chat-client.ts';
import { makePair, type TestPair } from '../certificates.ts';
import { readyStage, stage, say, until, type Stage } from '../stage.ts';

describe('API keys', function () {
  this.timeout(60_000);
  let folder: string;
  let made: Stage | undefined;
  const logged: string[] = [];
  const write = (fields: object, message: string): void => void logged.push(JSON.stringify([message, fields]));
  const log = { info: write, warn: write, error: write };
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'r2r-keys-'));
    logged.length = 0;
  });
  afterEach(async () => {
    await made?.close();
    made = undefined;
    await rm(folder, { recursive: true });
  });
  const on = async (apiKeysPath: string): Promise<Stage> =>
    (made = await readyStage({ lines: say('fine'), router: { client: { apiKeysPath }, log } }));
  const statusWith = async (key: string | undefined, path = '/v1/models'): Promise<number> => {
    const headers = key === undefined ? {} : { authorization: key };
    return (await fetch(made!.router.url + path, { headers })).status;
  };

  it('let in who shows one of them, on every route but health and readiness', async () => {
    await writeFile(join(folder, 'keys'), 'first-key\n\n  second-key  \n');
    const { router } = await on(join(folder, 'keys'));
    for (const key of ['first-key', 'second-key']) {
      assert.equal(await statusWith(`Bearer ${key}`), 200);
      assert.equal(await statusWith(`bearer  ${key}`), 200);
    }
    for (const wrong of [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      'Bearer first',
      'Bearer first-key2',
      'first-key',
      'Basic first-key',
      'Bearer first-key second-key',
    ])
      assert.equal(await statusWith(wrong), 401, wrong);
    assert.deepEqual([await statusWith(undefined, '/health'), await statusWith(undefined, '/ready')], [200, 200]);
    for (const path of ['/v1/chat/completions', '/v1/completions', '/generate'])
      assert.equal((await fetch(router.url + path, { method: 'POST', body: '{}' })).status, 401, path);
    const refused = await post(router.url, ask, { headers: { authorization: 'Bearer wrong-key' } });
    assert.equal(refused.headers.get('www-authenticate'), 'Bearer realm="r2r"');
    const { error } = (await refused.json()) as Refusal;
    assert.deepEqual([error.code, error.type, error.param], ['invalid_api_key', 'invalid_request_error', null]);
    assert.equal(error.request_id, refused.headers.get('x-request-id'));
    assert.equal((await post(router.url, ask, { headers: { authorization: 'Bearer second-key' } })).status, 200);
    assert.ok(
      logged.every((line) => !/first-key|second-key|wrong-key/.test(line)),
      'no key in the log',
    );
  });

  it('are taken over within a second when a mounted Secret changes', async () => {
    const version = async (name: string, files: Readonly<Record<string, string>>): Promise<void> => {
      await mkdir(join(folder, name));
      for (const [file, text] of Object.entries(files)) await writeFile(join(folder, name, file), text);
      await symlink(name, join(folder, '..next'));
      await rename(join(folder, '..next'), join(folder, '..data'));
    };
    await version('..1', { alice: 'one', bob: 'two' });
    for (const file of ['alice', 'bob']) await symlink(join('..data', file), join(folder, file));
    await on(folder);
    assert.deepEqual([await statusWith('Bearer one'), await statusWith('Bearer two'), await statusWith('Bearer three')], [200, 200, 401]);
    const changed = Date.now();
    await version('..2', { alice: 'three', bob: 'two' });
    await until(async () => (await statusWith('Bearer three')) === 200, 'the new key is taken');
    assert.ok(Date.now() - changed < 2_000);
    assert.deepEqual([await statusWith('Bearer one'), await statusWith('Bearer two')], [401, 200]);
  });

  it('refuse everybody when there are none, and stay in force when they cannot be read', async () => {
    const path = join(folder, 'keys');
    made = await stage({ lines: say('fine'), router: { client: { apiKeysPath: path }, log } });
    assert.equal(await statusWith('Bearer any'), 401);
    await until(() => made!.router.readiness().waitingFor.join() === `an API key in ${path}`, 'the router says what it waits for');
    await writeFile(path, '\n');
    await until(() => logged.some((line) => line.includes('there is no API key')), 'the log says so');
    assert.equal(await statusWith('Bearer '), 401);
    await writeFile(path, 'now');
    await until(async () => (await statusWith('Bearer now')) === 200, 'the key is taken');
    assert.ok(made.router.readiness().ready);
    await rm(path);
    await until(() => logged.filter((line) => line.includes('cannot be read')).length === 2, 'the log says so');
    assert.equal(await statusWith('Bearer now'), 200);
  });
});

describe('TLS', function () {
  this.timeout(60_000);
  let folder: string;
  let [first, second]: TestPair[] = [];
  let made: Stage | undefined;
  const errors: object[] = [];
  const log = { info: () => undefined, warn: () => undefined, error: (fields: object) => void errors.push(fields) };
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'r2r-tls-'));
    [first, second] = await Promise.all([makePair(folder, 'first'), makePair(folder, 'second')]);
  });
  beforeEach(async () => {
    await writeFile(join(folder, 'tls.crt'), first!.cert);
    await writeFile(join(folder, 'tls.key'), first!.key);
    errors.length = 0;
  });
  afterEach(async () => {
    await made?.close();
    made = undefined;
  });
  after(() => rm(folder, { recursive: true }));
  const tls = (): { certPath: string; keyPath: string } => ({ certPath: join(folder, 'tls.crt'), keyPath: join(folder, 'tls.key') });
  const on = async (): Promise<string> => {
    made = await readyStage({ lines: say('fine'), router: { client: { tls: tls() }, log } });
    return made.router.url;
  };
  const get = (url: string, ca: string): Promise<number> =>
    new Promise((resolve, reject) => {
      httpsRequest(url, { ca, agent: false }, (response: IncomingMessage) => resolve(response.resume().statusCode ?? 0))
        .on('error', reject)
        .end();
    });

  it('protects the API, from version 1.2 on', async () => {
    const url = await on();
    assert.match(url, /^https:/);
    assert.equal(await get(`${url}/v1/models`, first!.cert), 200);
    await assert.rejects(get(`${url}/v1/models`, second!.cert), /self-signed|verify/);
    const version = (maxVersion: SecureVersion): Promise<string | null> =>
      new Promise((resolve, reject) => {
        const options = { port: Number(new URL(url).port), host: '127.0.0.1', ca: first!.cert, minVersion: 'TLSv1' as const, maxVersion };
        const socket: TLSSocket = connect({ ...options, ciphers: 'DEFAULT@SECLEVEL=0' }, () => {
          resolve(socket.getProtocol());
          socket.destroy();
        }).on('error', reject);
      });
    assert.equal(await version('TLSv1.3'), 'TLSv1.3');
    assert.equal(await version('TLSv1.2'), 'TLSv1.2');
    await assert.rejects(version('TLSv1.1'));
    await assert.rejects(fetch(url.replace('https', 'http')));
  });

  it('takes a renewed certificate over within a second, and keeps the one before when the new one is bad', async () => {
    const url = await on();
    await writeFile(join(folder, 'tls.crt'), second!.cert);
    await until(() => errors.length === 1, 'a certificate without its key is refused');
    assert.match((errors[0] as { err: Error }).err.message, /does not belong/);
    assert.equal(await get(`${url}/health`, first!.cert), 200);
    const changed = Date.now();
    await writeFile(join(folder, 'tls.key'), second!.key);
    await until(() => get(`${url}/health`, second!.cert).then(Boolean, () => false), 'the new one is served');
    assert.ok(Date.now() - changed < 2_000);
    await writeFile(join(folder, 'tls.key'), 'no key');
    await until(() => errors.length === 2, 'nonsense is refused');
    assert.match((errors[1] as { err: Error }).err.message, /tls\.key holds no private key/);
    assert.equal(await get(`${url}/health`, second!.cert), 200);
  });

  it('stops the start with a pair that cannot be used, naming the file', async () => {
    await writeFile(join(folder, 'tls.crt'), 'no certificate');
    await assert.rejects(
      watchTlsFiles(tls(), () => undefined, log),
      {
        name: 'TlsError',
        code: 'TLS_INVALID',
        message: /tls\.crt holds no certificate/,
      },
    );
  });
});

describe('plain HTTP', function () {
  this.timeout(60_000);
  it('needs neither key nor certificate', async () => {
    const made = await readyStage({ lines: say('fine') });
    try {
      assert.equal((await complete(made.router.url)).choices[0]?.message.content, 'fine');
    } finally {
      await made.close();
    }
  });
});
