import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readTermination, type BundleResult, type TerminationMessage } from '../../src/controllers/router/termination.ts';
import { openBundle } from '../../src/model/bundle.ts';
import { importCheckpoint } from '../../src/model/import-bundle.ts';
import { BundleStore, FolderBlobs } from '../../src/model/store/index.ts';
import type { BundleRecord } from '../../src/pipeline/bundle/record.ts';
import { run } from '../cluster/commands.ts';
import { makeBundle } from '../model/store/bundles.ts';
import { models } from '../pipeline/continue/tiny-run.ts';
import { temporaryFolder } from '../pipeline/files.ts';
import { S3Server } from '../support/s3/s3-server.ts';
import {
  bundleSpec,
  slmFolder,
  specFile,
  trainedWorkspace,
  trainerPython,
  type TrainedWorkspace,
} from '../pipeline/bundle/trained-workspace.ts';

const main = join(import.meta.dirname, '../../src/cli/main.ts');

const published = join(models, 'router/router.pt');
const signal = new AbortController().signal;

type FailedWords = Extract<TerminationMessage, { readonly ok: false }>;

/** The published network with a threshold that hardly a row reaches. */
const raiseThreshold = `
import sys, torch
saved = torch.load(sys.argv[1], map_location="cpu")
saved["common_args"]["threshold"] = 0.99999
torch.save(saved, sys.argv[2])`;

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

describe('r2r pipeline bundle', function () {
  this.timeout(120_000);
  let folder: string;
  let trained: TrainedWorkspace;
  before(async function () {
    this.timeout(700_000);
    folder = temporaryFolder();
    trained = await trainedWorkspace(join(folder, 'trained'));
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  function start(args: readonly string[]): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
    const child = spawn(process.execPath, [main, 'pipeline', 'bundle', ...args]);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    return { child, ended: once(child, 'close').then(([code]) => ({ code: code as number | null, output })) };
  }

  /** A workspace of its own with what training left, and the flags of the Job. */
  function job(name: string): { readonly workspace: string; readonly store: string; readonly words: string; readonly args: string[] } {
    const workspace = join(folder, name);
    cpSync(trained.workspace, workspace, { recursive: true });
    const [store, words] = [join(workspace, 'store'), join(folder, `${name}-words`)];
    const args = [
      ...['--workspace', workspace, '--spec', specFile(workspace, trained.spec), '--model', `slm=${slmFolder}`],
      ...['--data', join(workspace, trained.data.slice(trained.workspace.length + 1)), '--store', store, '--store-uri', 'pvc://ws/store'],
      ...['--cache', join(folder, `${name}-cache`), '--status-port', '0', '--termination-log', words],
    ];
    return { workspace, store, words, args };
  }

  const recordOf = (workspace: string): BundleRecord => {
    const name = readdirSync(workspace).find((each) => each.startsWith('bundle-')) ?? assert.fail('no step');
    return JSON.parse(readFileSync(join(workspace, name, 'manifest.json'), 'utf8')) as BundleRecord;
  };
  const said = (words: string) => readTermination(readFileSync(words, 'utf8')) ?? assert.fail(readFileSync(words, 'utf8'));
  const bundleSaid = (words: string): BundleResult => {
    const message = said(words);
    assert.ok(message.ok && message.sealed && message.bundle, JSON.stringify(message));
    return message.bundle;
  };
  /** All that a run has left but what it was given. */
  const left = (workspace: string, store: string): Readonly<Record<string, string>> => {
    const step = readdirSync(workspace).find((each) => each.startsWith('bundle-')) ?? assert.fail('no step');
    return Object.fromEntries(
      [join(workspace, step), store].flatMap((place) =>
        readdirSync(place, { recursive: true, withFileTypes: true }).flatMap((entry) => {
          const path = join(entry.parentPath, entry.name);
          return entry.isFile() ? [[path.slice(workspace.length), readFileSync(path).toString('base64')] as const] : [];
        }),
      ),
    );
  };
  /** Ends with a refusal that names what it must. */
  async function refuses(args: readonly string[], words: string, code: number, error: string, message: RegExp): Promise<FailedWords> {
    rmSync(words, { force: true });
    const ended = await start(args).ended;
    const found = said(words);
    assert.ok(!found.ok, ended.output);
    assert.deepEqual([ended.code, found.code], [code, error], ended.output);
    assert.match(found.message, message);
    assert.equal(found.retryable, code === 1);
    return found;
  }

  it('makes, measures and stores a bundle whose figures are the trainer’s', async () => {
    const { workspace, store, words, args } = job('whole');
    const { code, output } = await start(args).ended;
    assert.equal(code, 0, output);
    const message = said(words);
    const made = bundleSaid(words);
    const record = recordOf(workspace);
    const bundle = await openBundle(join(store, 'bundles', made.digest));
    assert.ok(message.ok && message.digest === bundle.digest && bundle.manifest.threshold === trained.result.threshold);
    assert.equal(bundle.manifest.provenance.source, `train-${trained.spec.inputs.train?.hash ?? ''}`);
    assert.equal(bundle.manifest.graphs.int8?.comparison?.rows, trained.result.test.rows);
    const { fp32, int8 } = record.measured;
    assert.deepEqual(fp32, {
      threshold: trained.result.threshold,
      recall: trained.result.test.recall,
      positiveRate: trained.result.test.positiveRate,
    });
    assert.deepEqual(made, {
      ...{ digest: bundle.digest, uri: `pvc://ws/store/bundles/${bundle.digest}`, rows: trained.result.test.rows },
      ...int8,
    });
    const { accuracy } = record;
    assert.ok(accuracy && accuracy.maxDifference < 1e-5, JSON.stringify(accuracy));
    assert.deepEqual([accuracy.rows, message.counts?.['checkedRows']], [trained.result.test.rows, trained.result.test.rows]);
  });

  it('is done when its record is there and the bundle is where it says, and then says the same', async () => {
    const { workspace, store, words, args } = job('again');
    assert.equal((await start(args).ended).code, 0);
    const [first, files] = [readFileSync(words, 'utf8'), left(workspace, store)];
    rmSync(words);
    const { code, output } = await start(args).ended;
    assert.ok(code === 0 && output.includes('"step was done"') && !output.includes('importing'), output);
    assert.equal(readFileSync(words, 'utf8'), first);
    rmSync(join(store, 'bundles'), { recursive: true });
    const again = await start(args).ended;
    assert.ok(again.code === 0 && again.output.includes('importing'), again.output);
    assert.equal(readFileSync(words, 'utf8'), first);
    assert.deepEqual(left(workspace, store), files);
  });

  it('killed at any instant and run again, leaves the same bytes', async () => {
    const whole = job('undisturbed');
    assert.equal((await start(whole.args).ended).code, 0);
    const { workspace, store, words, args } = job('killed');
    let kills = 0;
    for (const [at, times] of [
      ['progress is served', 1],
      ['importing the checkpoint', 3],
      ['importing the checkpoint', 8],
      ['fp32 compared with PyTorch', 1],
    ] as const) {
      const { child, ended } = start(args);
      let seen = '';
      child.stdout?.on('data', (chunk: Buffer) => {
        seen += chunk.toString();
        if (seen.split(at).length > times) child.kill('SIGKILL');
      });
      if ((await ended).code === null) kills++;
    }
    // and while it is stored: when the first file is there, when the bundle is
    for (const name of ['.writing', 'bundles', 'bundle.json']) {
      const { child, ended } = start(args);
      const there = (): boolean => existsSync(store) && readdirSync(store, { recursive: true }).some((each) => String(each).endsWith(name));
      while (child.exitCode === null && child.signalCode === null && !there()) await sleep(1);
      child.kill('SIGKILL');
      if ((await ended).code === null) kills++;
    }
    assert.ok(kills >= 6, String(kills));
    const { code, output } = await start(args).ended;
    assert.equal(code, 0, output);
    assert.equal(readFileSync(words, 'utf8'), readFileSync(whole.words, 'utf8'));
    const files = left(workspace, store);
    const expected = left(whole.workspace, whole.store);
    for (const [name, bytes] of Object.entries(expected)) assert.equal(files[name], bytes, name);
    const more = Object.keys(files).filter((name) => !(name in expected) && !/\/store\/(\.writing|pins|deleting)\//.test(name));
    assert.deepEqual(more, []);
  });

  it('stops on SIGTERM with 143, and can be run again', async () => {
    const { words, args } = job('stopped');
    const { child, ended } = start(args);
    let asked = false;
    child.stdout?.on('data', (chunk: Buffer) => {
      // whoever asks twice does not want to wait
      if (!asked && chunk.toString().includes('importing the checkpoint')) asked = child.kill('SIGTERM');
    });
    assert.equal((await ended).code, 143);
    const message = said(words);
    assert.ok(!message.ok && message.code === 'PIPELINE_STOPPED' && message.retryable);
    assert.equal((await start(args).ended).code, 0);
  });

  it('measures the bundle in use on the same rows, at the recall that is asked for, and keeps what is to be kept', async () => {
    const { workspace, store, words, args } = job('compared');
    const outFolder = join(folder, 'current');
    await importCheckpoint({ checkpointPath: published, slmFolder, outFolder, precisions: ['fp32', 'int8'], source: 'test' });
    const bundles = new BundleStore(new FolderBlobs(store));
    const current = await bundles.put(outFolder, signal);
    const older = await Promise.all([1, 2].map((seed) => bundles.put(makeBundle(join(folder, `old-${seed}`), seed).folder, signal)));
    const retain = ['--prune', '--retain', current.digest, '--retain', older[0]?.digest ?? ''];
    const uri = `pvc://ws/store/bundles/${current.digest}`;
    const { code, output } = await start([...args, '--compare', uri, '--min-recall', '0.9', ...retain]).ended;
    assert.equal(code, 0, output);
    const made = bundleSaid(words);
    assert.equal(made.current?.digest, current.digest);
    const found = made.current;
    // 14 divergent rows or so: 0.9 of them is reached by one row more
    assert.ok(found.recall >= 0.9 && found.recall < 1 && found.positiveRate > 0 && found.positiveRate < 1, JSON.stringify(found));
    assert.deepEqual(recordOf(workspace).current, { ...found, threshold: recordOf(workspace).current?.threshold });
    const stored = (await bundles.list(signal)).map(({ digest }) => digest).sort();
    assert.deepEqual(stored, [made.digest, current.digest, older[0]?.digest].sort());
  });

  it('lowers the threshold where int8 needs that to reach the recall that was trained for', async () => {
    const { workspace, words, args } = job('lowered');
    const high = join(folder, 'high.pt');
    await run(await trainerPython(), ['-c', raiseThreshold, published, high]);
    const train = withCheckpoint(workspace, high);
    const recall = { ...trained.result.identity, min_recall: 0.99 };
    writeMetrics(train, { identity: recall });
    const { code, output } = await start(args).ended;
    assert.ok(code === 0 && output.includes('threshold lowered'), output);
    const { measured, threshold } = recordOf(workspace);
    assert.ok(threshold !== undefined && threshold < 0.999 && (measured.int8?.recall ?? 0) >= 0.99, JSON.stringify(measured));
    assert.equal(bundleSaid(words).threshold, threshold);
    const { manifest } = await openBundle(join(workspace, 'store/bundles', bundleSaid(words).digest));
    assert.equal(manifest.threshold, threshold);
  });

  it('takes a published checkpoint, and measures nothing without a label set', async () => {
    const { workspace, words, args } = job('published');
    const spec = specFile(workspace, bundleSpec({}, { checkpoint: { uri: published } }), 'published.json');
    const at = args.indexOf('--data');
    const flags = [...args.slice(0, at), ...args.slice(at + 2), '--spec', spec];
    assert.equal((await start(flags).ended).code, 0);
    const { digest, threshold, ...rest } = bundleSaid(words);
    assert.deepEqual(rest, { uri: `pvc://ws/store/bundles/${digest}` });
    assert.ok(threshold !== undefined && threshold > 0.8);
    assert.deepEqual(recordOf(workspace).measured, {});
  });

  it('gives the trainer’s figures where it cannot read the rows', async () => {
    const { workspace, words, args } = job('arrow');
    const data = join(workspace, 'arrow');
    mkdirSync(join(data, 'test'), { recursive: true });
    for (const split of ['train', 'test', 'validation']) writeFileSync(join(data, `${split}.arrow`), '');
    assert.equal((await start([...args, '--data', data]).ended).code, 0);
    const { recall, positiveRate, rows } = trained.result.test;
    assert.deepEqual(
      { ...bundleSaid(words), digest: '', uri: '' },
      {
        ...{ digest: '', uri: '', recall, positiveRate, rows, threshold: trained.result.threshold },
      },
    );
  });

  it('refuses what it cannot do, naming step, field and fix', async () => {
    const { workspace, words, args, store } = job('refused');
    const train = trainFolder(workspace);
    const unknown = `pvc://ws/store/bundles/${'a'.repeat(64)}`;
    const compare = (uri: string) => [...args, '--compare', uri, '--min-recall', '0.9', '--must-compare'];
    await refuses([...args, '--compare', unknown], words, 2, 'USAGE', /--compare and --min-recall go together/);
    await refuses([...args, '--retain', 'a'.repeat(64)], words, 2, 'USAGE', /--retain is for --prune/);
    await refuses([...args, '--store', 's3://NO'], words, 2, 'USAGE', /--store-uri is for folders/);
    const { field } = await refuses(compare(unknown), words, 3, 'PIPELINE_COMPARE', /--compare: .*there is no such bundle.*STORE_MISSING/);
    assert.equal(field, '--compare');
    await refuses(compare(published), words, 3, 'PIPELINE_COMPARE', /is no bundle/);
    const otherSlm = join(models, 'llm');
    await refuses([...args, '--model', `slm=${otherSlm}`], words, 2, 'USAGE', /given twice/);
    await refuses(
      args.map((arg) => (arg === `slm=${slmFolder}` ? `slm=${otherSlm}` : arg)),
      ...([words, 3, 'PIPELINE_CHECKPOINT', /hidden_states_size is 64.*BUNDLE_SLM_MISMATCH/] as const),
    );
    writeFileSync(join(folder, 'a-file'), '');
    await refuses([...args, '--store', join(folder, 'a-file')], words, 3, 'PIPELINE_STORE', /--store: .*STORE_UNUSABLE/);

    const check = join(train, 'check.json');
    const rows = JSON.parse(readFileSync(check, 'utf8')) as { rows: { probability: number }[] };
    const [row] = rows.rows;
    if (row) row.probability += row.probability > 0.5 ? -0.001 : 0.001;
    writeFileSync(check, JSON.stringify(rows));
    await refuses(
      args,
      words,
      3,
      'PIPELINE_ACCURACY',
      /data_id \d+, token_id \d+ the probability 0\.\d+, PyTorch gave it 0\.\d+; at most 0\.0001/,
    );
    writeFileSync(check, JSON.stringify({ ...rows, rows: [] }));
    await refuses(args, words, 3, 'PIPELINE_INPUT_MISSING', /step train.*check\.json.*its rows is not what the trainer writes/);
    rmSync(check);
    writeMetrics(train, { test: { ...trained.result.test, rows: 5 } });
    await refuses(
      args,
      words,
      3,
      'PIPELINE_INPUT_MISSING',
      /label set has \d+ test rows, \d+ of them divergent, and the network was tested on 5/,
    );
    writeMetrics(train, {});
    rmSync(join(train, 'router.pt'));
    const lost = await refuses(args, words, 1, 'PIPELINE_PART_CORRUPT', /step train.*the checkpoint is missing/);
    assert.equal(lost.faultyStep, 'train');
    assert.ok(!existsSync(join(train, 'metrics.json')));
    const undone = await refuses(args, words, 3, 'PIPELINE_INPUT_MISSING', /step train.*it is not done; run train first/);
    assert.equal(undone.faultyStep, 'train');
    assert.ok(!existsSync(join(store, 'bundles')));
  });

  it('names a damaged file of the label set, which the construct step makes again', async () => {
    const { workspace, words, args } = job('damaged');
    const data = args[args.indexOf('--data') + 1] ?? '';
    const [file = ''] = readdirSync(data).filter((name) => name.startsWith('test-'));
    const bytes = readFileSync(join(data, file));
    bytes[200] = (bytes[200] ?? 0) ^ 1;
    writeFileSync(join(data, file), bytes);
    const { faultyStep } = await refuses(args, words, 1, 'PIPELINE_PART_CORRUPT', /step construct.*test-/);
    assert.equal(faultyStep, 'construct');
    assert.ok(readdirSync(join(data)).includes(`${file}.corrupt`) && existsSync(workspace));
  });

  describe('in an object store', () => {
    let server: S3Server;
    before(async function () {
      // the server is built once for a machine
      this.timeout(900_000);
      server = await S3Server.start({ folder: join(folder, 's3'), bucket: 'routers' });
    });
    after(() => server.kill());

    it('stores the same bundle, compares with the one there, and waits for keys', async () => {
      const { workspace, words, args } = job('objects');
      const at = args.indexOf('--store');
      const flags = [...args.slice(0, at), ...args.slice(at + 4), '--store', 's3://routers/team/a', '--s3-endpoint', server.endpoint];
      const keys = join(folder, 'keys');
      const withKeys = [...flags, '--s3-credentials', keys];
      mkdirSync(keys);
      await refuses(withKeys, words, 1, 'PIPELINE_STORE', /--store: .*no access-key-id in .*FETCH_CREDENTIALS/);
      writeFileSync(join(keys, 'AWS_ACCESS_KEY_ID'), S3Server.accessKeyId);
      writeFileSync(join(keys, 'AWS_SECRET_ACCESS_KEY'), 'wrong');
      await refuses(withKeys, words, 3, 'PIPELINE_STORE', /FETCH_CREDENTIALS/);
      writeFileSync(join(keys, 'AWS_SECRET_ACCESS_KEY'), S3Server.secretAccessKey);
      assert.equal((await start(withKeys).ended).code, 0);
      const { digest, uri } = bundleSaid(words);
      assert.equal(uri, `s3://routers/team/a/bundles/${digest}`);
      assert.ok(existsSync(join(server.data, 'routers/team/a/bundles', digest, 'bundle.json')));
      const step = readdirSync(workspace).find((each) => each.startsWith('bundle-')) ?? '';
      rmSync(join(workspace, step), { recursive: true });
      assert.equal((await start([...withKeys, '--compare', uri, '--min-recall', '0.9']).ended).code, 0);
      assert.equal(bundleSaid(words).current?.digest, digest);
    });
  });

  function trainFolder(workspace: string): string {
    return join(workspace, trained.train.slice(trained.workspace.length + 1));
  }
  function writeMetrics(train: string, changes: object): void {
    const file = readFileSync(join(train, 'router.pt'));
    const digest = `sha256:${createHash('sha256').update(file).digest('hex')}`;
    writeFileSync(join(train, 'metrics.json'), JSON.stringify({ ...trained.result, model: { file: 'router.pt', digest }, ...changes }));
  }
  /** Another network in the place of the one that was trained; what PyTorch says of it nobody has asked. */
  function withCheckpoint(workspace: string, checkpoint: string): string {
    const train = trainFolder(workspace);
    cpSync(checkpoint, join(train, 'router.pt'));
    rmSync(join(train, 'check.json'));
    return train;
  }
});
