/** What the bundling step says when a server is away, and that its record depends on nothing else. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetchArtifact } from '../../../src/model/fetch/index.ts';
import { BundleStore, FolderBlobs, S3Blobs } from '../../../src/model/store/index.ts';
import { runBundle, type BundleContext } from '../../../src/pipeline/bundle/bundle-step.ts';
import { currentBundle } from '../../../src/pipeline/bundle/current-bundle.ts';
import { bundleMessage, openBundleFolder } from '../../../src/pipeline/bundle/record.ts';
import { PipelineError, type PipelineErrorCode } from '../../../src/pipeline/errors.ts';
import { diskFileSystem } from '../../../src/pipeline/workspace/file-system.ts';
import { Progress } from '../../../src/pipeline/progress.ts';
import { models } from '../continue/tiny-run.ts';
import { temporaryFolder } from '../files.ts';
import { MortalFileSystem } from '../mortal-file-system.ts';
import { processClock, silentLog } from '../toy-steps.ts';
import { bundleSpec, slmFolder } from './trained-workspace.ts';

const signal = new AbortController().signal;
const limits = { retryDelaysMs: [10], answerMs: 1_000 };
const published = join(models, 'router/router.pt');
const spec = (uri: string) => bundleSpec({}, { checkpoint: { uri } });

describe('the bundling step', function () {
  this.timeout(30_000);
  let folder: string;
  before(() => {
    folder = temporaryFolder();
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  function contextOf(name: string, changes: Partial<BundleContext> = {}): BundleContext {
    const workspace = join(folder, name);
    const cacheFolder = join(folder, `${name}-cache`);
    return {
      ...{ workspace, cacheFolder, slmFolder, labels: undefined, compare: undefined, retain: undefined, signal },
      ...{ owner: undefined, clean: undefined },
      store: new BundleStore(new FolderBlobs(join(workspace, 'store'))),
      fetch: (uri) =>
        fetchArtifact(uri, {
          cacheFolder,
          signal,
          limits,
          hub: { endpoint: 'https://127.0.0.1:1' },
          claimFolder: (claim) => `/none/${claim}`,
        }),
      log: silentLog,
      progress: new Progress(processClock),
      ...changes,
    };
  }
  const refused = (code: PipelineErrorCode, field: string, retryable: boolean, message: RegExp) => (error: unknown) => {
    assert.ok(error instanceof PipelineError, String(error));
    assert.deepEqual([error.code, error.field, error.retryable], [code, field, retryable], error.message);
    assert.match(error.message, message);
    return true;
  };

  it('may be tried again when the store or a server is away, and needs a person where something is not there', async () => {
    const away = new BundleStore(new S3Blobs({ bucket: 'away', settings: { endpoint: 'http://127.0.0.1:1', region: 'a' }, limits }));
    process.env['AWS_ACCESS_KEY_ID'] = 'id';
    process.env['AWS_SECRET_ACCESS_KEY'] = 'secret';
    try {
      const storing = runBundle(spec(published), contextOf('away', { store: away }));
      await assert.rejects(storing, refused('PIPELINE_STORE', '--store', true, /step bundle.*127\.0\.0\.1:1.*FETCH_UNAVAILABLE/));
    } finally {
      delete process.env['AWS_ACCESS_KEY_ID'];
      delete process.env['AWS_SECRET_ACCESS_KEY'];
    }
    const field = 'source.checkpoint.uri';
    const fetching = (uri: string) => runBundle(spec(uri), contextOf('fetching'));
    await assert.rejects(fetching('hf://org/repo/router.pt@main'), refused('PIPELINE_CHECKPOINT', field, true, /FETCH_UNAVAILABLE/));
    await assert.rejects(fetching('pvc://data/router.pt'), refused('PIPELINE_CHECKPOINT', field, false, /FETCH_NOT_FOUND/));
    await assert.rejects(fetching(slmFolder), refused('PIPELINE_CHECKPOINT', field, false, /name the \.pt file in it/));
    const compare = { uri: `https://127.0.0.1:1/${'a'.repeat(64)}`, minRecall: 0.9, isNeeded: true };
    await assert.rejects(
      currentBundle(contextOf('comparing', { compare })),
      refused('PIPELINE_COMPARE', '--compare', true, /FETCH_UNAVAILABLE/),
    );
  });

  it('refuses a step of another kind or format, or of no source', async () => {
    const context = contextOf('specs');
    const given = spec(published);
    const train = { hash: 'a'.repeat(16), digest: 'b' };
    for (const [wrong, message] of [
      [{ ...given, format: 99 }, /bundle of format 99 is asked for, and this version makes bundle of format 1/],
      [{ ...given, step: 'train' }, /train of format 1 is asked for/],
      [{ ...given, inputs: { train } }, /no training step and no checkpoint, or both/],
      [bundleSpec({}), /no training step and no checkpoint, or both/],
    ] as const)
      await assert.rejects(
        runBundle(wrong, context),
        (error) => error instanceof PipelineError && error.code === 'PIPELINE_SPEC' && message.test(error.message),
      );
  });

  it('is the same step when an input of the same data lies in another folder by now, and no other one', async () => {
    const workspace = join(folder, 'inputs');
    const of = (hash: string, digest = 'd') => bundleSpec({ train: { hash, digest } });
    const first = await openBundleFolder(diskFileSystem, workspace, of('a'));
    assert.equal(await openBundleFolder(diskFileSystem, workspace, of('b')), first);
    writeFileSync(join(first, 'step.json'), JSON.stringify(of('a', 'e')));
    await assert.rejects(openBundleFolder(diskFileSystem, workspace, of('a')), { code: 'PIPELINE_SPEC' });
  });

  it('is known by the same words wherever it runs', async () => {
    const records = [];
    for (const name of ['here', 'there']) {
      const store = new BundleStore(new FolderBlobs(join(folder, name, 'store'), { address: 'pvc://a/b' }));
      records.push(bundleMessage(await runBundle(spec(published), contextOf(name, { store }))));
    }
    assert.deepEqual(records[0], records[1]);
  });

  it('is whole whenever power is lost, and waits for room on a full workspace', async () => {
    const expected = bundleMessage(await runBundle(spec(published), contextOf('powered')));
    const name = readdirSync(join(folder, 'powered')).find((each) => each.startsWith('bundle-')) ?? '';
    const manifest = (workspace: string) => readFileSync(join(folder, workspace, name, 'manifest.json'), 'utf8');
    let ended = false;
    let losses = 0;
    for (let at = 0; !ended; at++) {
      const workspace = `power-${at}`;
      mkdirSync(join(folder, workspace));
      const store = new BundleStore(new FolderBlobs(join(folder, 'powered', 'store')));
      const fileSystem = new MortalFileSystem({ powerLostAt: at });
      ended = await runBundle(spec(published), contextOf(workspace, { store, fileSystem })).then(
        () => true,
        () => false,
      );
      if (!ended) losses++;
      assert.deepEqual(bundleMessage(await runBundle(spec(published), contextOf(workspace, { store }))), expected);
      assert.equal(manifest(workspace), manifest('powered'));
    }
    assert.ok(losses > 5, String(losses));
    mkdirSync(join(folder, 'full'));
    const full = runBundle(spec(published), contextOf('full', { fileSystem: new MortalFileSystem({ capacityBytes: 20 }) }));
    await assert.rejects(full, (error) => error instanceof PipelineError && error.code === 'PIPELINE_NO_SPACE' && error.retryable);
  });
});
