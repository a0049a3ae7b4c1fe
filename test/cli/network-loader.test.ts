import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RouterConfigInput } from '../../src/api/router-config.ts';
import type { RouterStatus } from '../../src/api/router-status.ts';
import { tidyCache } from '../../src/cli/bundle-cache.ts';
import { hubSettings, type HubSettings } from '../../src/cli/hub-settings.ts';
import { networkLoader } from '../../src/cli/network-loader.ts';
import { startEngine, type RunningEngine } from '../../src/engine/server.ts';
import { importCheckpoint } from '../../src/model/import-bundle.ts';
import { startRouter, type LlmEndpoint, type RunningRouter } from '../../src/router/index.ts';
import { HubServer } from '../model/fetch/hub-server.ts';
import { complete } from '../router/chat-client.ts';
import { quietLog, Settable, until } from '../router/stage.ts';
import { tinyModels } from '../router/tiny-pair.ts';

const root = join(import.meta.dirname, '../..');
const trained = readFileSync(join(root, 'examples/models/router/router.pt'));
const other = readFileSync(join(root, 'test/model/bundle-fixtures/tiny.pt'));
const address = 'hf://org/repo/router.pt@main';
const request = { model: 'tiny', messages: [{ role: 'user', content: 'What is 34 + 58?' }], r2r: { tokens: true } };
const base: RouterConfigInput = {
  modelName: 'tiny',
  strategy: 'neural',
  checkpoint: { uri: address },
  maxDraftTokens: 8,
  onLLMUnavailable: 'Fail',
  llmTimeoutSeconds: 30,
  drainingPodUIDs: [],
};

describe('router networks by URI', function () {
  this.timeout(120_000);
  let slm: RunningEngine;
  let llm: RunningEngine;
  let hub: HubServer;
  let folder: string;
  let router: RunningRouter | undefined;
  let config: Settable<string>;

  before(async () => {
    const serve = (modelPath: string, returnHiddenStates: boolean): Promise<RunningEngine> =>
      startEngine({ modelPath, host: '127.0.0.1', port: 0, returnHiddenStates }, assert.ifError);
    [slm, llm] = await Promise.all([serve(tinyModels.slm, true), serve(tinyModels.llm, false)]);
  });
  after(() => Promise.all([slm.close(), llm.close()]));
  beforeEach(async () => {
    hub = await new HubServer().start();
    const damaged = Buffer.from(trained).fill(0, 20_000, 40_000);
    const files = { 'router.pt': trained, 'other.pt': other, 'damaged.pt': damaged };
    hub.commit('org/repo', Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, { bytes, lfs: true }])));
    folder = mkdtempSync(join(tmpdir(), 'r2r-network-loader-'));
  });
  afterEach(async () => {
    await router?.stop();
    router = undefined;
    await hub.stop();
    rmSync(folder, { recursive: true });
  });

  const start = async (change: Partial<RouterConfigInput> = {}, settings: Partial<HubSettings> = {}): Promise<RunningRouter> => {
    config = new Settable<string>();
    configure(change);
    const endpoints = new Settable<readonly LlmEndpoint[]>();
    endpoints.set([{ url: llm.url, ready: true }]);
    router = await startRouter({
      slmUrl: slm.url,
      slmModelPath: tinyModels.slm,
      llmModelPath: tinyModels.llm,
      config,
      endpoints,
      log: quietLog,
      host: '127.0.0.1',
      port: 0,
      adminHost: '127.0.0.1',
      adminPort: 0,
      drainDelayMs: 0,
      drainTimeoutMs: 10_000,
      loadNetwork: loader(settings),
    });
    return router;
  };
  const loader = (settings: Partial<HubSettings> = {}, cacheFolder = join(folder, 'cache')) =>
    networkLoader({
      slmFolder: tinyModels.slm,
      cacheFolder,
      hub: { endpoint: hub.url, ...settings },
      threads: 1,
      log: quietLog,
      limits: { retryDelaysMs: [10] },
    });
  const configure = (change: Partial<RouterConfigInput>): void => config.set(JSON.stringify({ ...base, ...change }));
  const at = (uri: string): Partial<RouterConfigInput> => ({ checkpoint: { uri } });
  const reaches = async (state: NonNullable<RouterStatus['bundle']>['state'], message = /^/): Promise<RouterStatus> => {
    await until(
      () => router?.status().bundle?.state === state && message.test(router.status().bundle?.message ?? ''),
      `${state} ${String(message)}, not ${JSON.stringify(router?.status().bundle)}`,
      60_000,
    );
    assert.ok(router);
    return router.status();
  };

  it('becomes ready with the network of a checkpoint on the hub, and asks the LLM where that says so', async () => {
    const started = await start();
    await until(() => started.readiness().ready, 'the router is ready', 60_000);
    const { strategy, threshold, bundle, parameters } = await reaches('Serving');
    assert.equal(strategy, 'neural');
    assert.ok(threshold !== undefined && threshold > 0 && threshold < 1);
    assert.equal(bundle?.precision, 'int8');
    assert.ok((parameters.router ?? 0) > 1_000);
    const { r2r } = await complete(started.url, request);
    assert.deepEqual([r2r?.strategy, r2r?.threshold], ['neural', threshold]);
    assert.ok(r2r?.tokens?.some(({ source }) => source === 'llm') && r2r.tokens.some(({ source }) => source === 'slm'));
  });

  it('switches to another checkpoint while requests run, refuses a damaged one, and goes on with the one it has', async () => {
    const started = await start();
    await until(() => started.readiness().ready, 'the router is ready', 60_000);
    const first = (await reaches('Serving')).bundle?.digest;
    const strategies = new Set<string | undefined>();
    let answered = 0;
    let running = true;
    const load = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (running) {
          const { r2r } = await complete(started.url, request);
          strategies.add(r2r?.strategy);
          answered++;
        }
      }),
    );
    configure(at('hf://org/repo/other.pt@main'));
    const second = (await reaches('Serving')).bundle?.digest;
    assert.notEqual(second, first);
    assert.equal(started.status().threshold, 0.35);
    configure(at('hf://org/repo/damaged.pt@main'));
    const { bundle } = await reaches('Refused');
    assert.match(bundle?.message ?? '', /damaged\.pt: /);
    assert.equal(bundle?.digest, second);
    configure(at('hf://org/repo/missing.pt@main'));
    assert.match((await reaches('Refused', /missing/)).bundle?.message ?? '', /no such file at this revision/);
    const before = answered;
    await until(() => answered > before + 4, 'requests are answered with the one before');
    running = false;
    await load;
    assert.deepEqual([...strategies], ['neural']);
    assert.equal(started.status().bundle?.digest, second);
    configure({});
    assert.equal((await reaches('Serving')).bundle?.digest, first);
  });

  it('waits for a hub that is away, then serves; after a restart without the hub it serves what it had', async () => {
    hub.intercept = (_, response) => {
      response.writeHead(503).end();
      return true;
    };
    const started = await start();
    await reaches('Loading', /answered 503; .*; trying again in 1 s/);
    assert.equal(started.readiness().ready, false);
    hub.intercept = () => false;
    const { bundle } = await reaches('Serving');
    await started.stop();
    await hub.stop();
    await start();
    assert.equal((await reaches('Serving')).bundle?.digest, bundle?.digest);
  });

  it('waits for the file of a token, and reads it anew for each fetch', async () => {
    hub.tokens.set('org/repo', ['first', 'second']);
    const tokenFile = join(folder, 'token');
    await start({}, { tokenFile, token: 'wrong' });
    await reaches('Loading', /there is no token in .*token yet/);
    writeFileSync(tokenFile, 'first\n');
    await reaches('Serving');
    writeFileSync(tokenFile, 'second');
    configure(at('hf://org/repo/other.pt@main'));
    await until(() => router?.status().threshold === 0.35, 'the other network serves', 60_000);
    const tokens = hub.asked('hub', 'HEAD').map(({ headers }) => headers.authorization);
    assert.deepEqual(tokens, ['Bearer first', 'Bearer second']);
  });

  it('makes the same bundle in every replica, also when the branch moves without the file', async () => {
    const wish = { uri: address, precision: 'int8', device: 'cpu' } as const;
    const digestIn = async (cacheFolder: string): Promise<string> => {
      const scoring = await loader({}, cacheFolder)(wish, () => undefined, new AbortController().signal);
      await scoring.close();
      return scoring.digest;
    };
    const first = await digestIn(join(folder, 'a'));
    hub.commit('org/repo', { 'router.pt': { bytes: trained, lfs: true } });
    assert.equal(await digestIn(join(folder, 'b')), first);
    const bytes = hub.bytesSent;
    assert.equal(await digestIn(join(folder, 'b')), first);
    assert.equal(hub.bytesSent, bytes);
    assert.equal(readdirSync(join(folder, 'b/bundles')).length, 1);
    const [bundle = ''] = readdirSync(join(folder, 'b/bundles'));
    writeFileSync(join(folder, 'b/bundles', bundle, 'router-int8.onnx'), 'damaged');
    assert.equal(await digestIn(join(folder, 'b')), first, 'a damaged bundle is made again');
  });

  it('loads checkpoints by path, bundles as they are, and what strategies on raw logits need without a checkpoint', async () => {
    const checkpoint = join(folder, 'own.pt');
    copyFileSync(join(root, 'test/model/bundle-fixtures/tiny.pt'), checkpoint);
    await start(at(checkpoint));
    await reaches('Serving');
    const bundle = join(folder, 'bundle');
    const made = {
      checkpointPath: checkpoint,
      slmFolder: tinyModels.slm,
      outFolder: bundle,
      precisions: ['int8'],
      source: 'test',
    } as const;
    const { digest } = await importCheckpoint(made);
    configure(at(bundle));
    await until(() => router?.status().bundle?.digest === digest, 'the bundle serves');
    configure({ ...at(bundle), precision: 'fp32' });
    assert.match((await reaches('Refused')).bundle?.message ?? '', /fp32/);
    configure({ strategy: 'immediate', checkpoint: undefined, strategyOptions: { aleatoricThreshold: 1 } });
    await until(() => router?.status().strategy === 'immediate', 'raw logits are recovered');
  });

  it('stops when it is told to, and keeps what it has downloaded', async () => {
    hub.intercept = ({ host, headers }, response) => {
      if (host !== 'storage' || headers.range !== undefined) return false;
      response.writeHead(200, { 'content-length': String(trained.length) }).write(trained.subarray(0, 200_000));
      return true;
    };
    const stop = new AbortController();
    const reason = new Error('another configuration');
    const report = (text: string): void => {
      if (/^downloading the checkpoint: \d+ % of 0\.7 MB/.test(text)) stop.abort(reason);
    };
    const wish = { uri: address, precision: 'fp32', device: 'cpu' } as const;
    await assert.rejects(loader()(wish, report, stop.signal), (error) => error === reason);
    const downloads = join(folder, 'cache/downloads');
    await until(() => readdirSync(downloads).some((name) => name.endsWith('.left')), 'the download is left to the next one');
    hub.intercept = () => false;
    const scoring = await loader()(wish, () => undefined, new AbortController().signal);
    await scoring.close();
    assert.match(hub.asked('storage').at(-1)?.headers.range ?? '', /^bytes=[1-9]/);
  });

  it('keeps the last two bundles and downloads', async () => {
    for (const file of ['router.pt', 'other.pt', 'router.pt'])
      for (const precision of ['int8', 'fp32'] as const) {
        const wish = { uri: `hf://org/repo/${file}@main`, precision, device: 'cpu' } as const;
        await (await loader()(wish, () => undefined, new AbortController().signal)).close();
      }
    const cache = join(folder, 'cache');
    assert.deepEqual([readdirSync(join(cache, 'bundles')).length, readdirSync(join(cache, 'hf')).length], [4, 2]);
    await tidyCache(cache, 0);
    assert.deepEqual([readdirSync(join(cache, 'bundles')).length, readdirSync(join(cache, 'hf')).length], [2, 2]);
    const bytes = hub.bytesSent;
    await (await loader()({ uri: address, precision: 'int8', device: 'cpu' }, () => undefined, new AbortController().signal)).close();
    assert.deepEqual([readdirSync(join(cache, 'bundles')).length, hub.bytesSent], [2, bytes]);
  });

  it('asks the hub that flags name, else the one of the environment, else the public one', () => {
    const environment = { HF_ENDPOINT: 'https://mirror.test', HF_TOKEN: 'token' };
    assert.deepEqual(hubSettings({}, environment), { endpoint: 'https://mirror.test', token: 'token' });
    assert.deepEqual(hubSettings({ 'hf-endpoint': 'https://own.test', 'hf-token-file': '/t' }, {}), {
      endpoint: 'https://own.test',
      tokenFile: '/t',
    });
    assert.match(hubSettings({}, {}).endpoint, /^https:\/\//);
  });
});
