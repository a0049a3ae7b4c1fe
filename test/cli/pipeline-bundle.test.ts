import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readTermination } from '../../src/controllers/router/termination.ts';
import { openBundle } from '../../src/model/bundle.ts';
import type { BundleRecord } from '../../src/pipeline/bundle/record.ts';
import { temporaryFolder } from '../pipeline/files.ts';
import { slmFolder, specFile, trainedWorkspace, type TrainedWorkspace } from '../pipeline/bundle/trained-workspace.ts';

const main = join(import.meta.dirname, '../../src/cli/main.ts');

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

  it('makes, measures and stores a bundle whose figures are the trainer’s', async () => {
    const { workspace, store, words, args } = job('whole');
    const { code, output } = await start(args).ended;
    assert.equal(code, 0, output);
    const said = readTermination(readFileSync(words, 'utf8'));
    assert.ok(said?.ok === true && said.bundle, readFileSync(words, 'utf8'));
    const record = recordOf(workspace);
    const bundle = await openBundle(join(store, 'bundles', said.bundle.digest));
    assert.ok(bundle.digest === said.digest && bundle.manifest.threshold === trained.result.threshold);
    assert.equal(bundle.manifest.provenance.source, `train-${trained.spec.inputs.train?.hash ?? ''}`);
    assert.equal(bundle.manifest.graphs.int8?.comparison?.rows, trained.result.test.rows);
    const { fp32, int8 } = record.measured;
    assert.deepEqual(fp32, {
      threshold: trained.result.threshold,
      recall: trained.result.test.recall,
      positiveRate: trained.result.test.positiveRate,
    });
    assert.deepEqual(said.bundle, {
      ...{ digest: bundle.digest, uri: `pvc://ws/store/bundles/${bundle.digest}`, rows: trained.result.test.rows },
      ...int8,
    });
    assert.equal(record.accuracy?.rows, trained.result.test.rows);
    assert.ok((record.accuracy?.maxDifference ?? 1) < 1e-5 && said.counts?.['checkedRows'] === record.accuracy?.rows);
  });
});
