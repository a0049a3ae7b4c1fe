import assert from 'node:assert/strict';
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { entropy } from '../../../src/router/entropy.ts';
import {
  openScoring,
  plainScorer,
  ScoringError,
  signalNames,
  type Scoring,
  type ScoringOptions,
} from '../../../src/router/scoring/index.ts';
import type { ScorableRow, Scorer, Signals } from '../../../src/router/scoring/index.ts';
import { NetworkThread } from '../../../src/router/scoring/network-thread.ts';
import { packRows } from '../../../src/router/scoring/row-batch.ts';
import { uncertaintyOf } from '../../../src/router/scoring/uncertainty.ts';
import { tinyLlm, tinySlm } from '../../model/bundle-slm-folders.ts';
import { draftedRows, writeRandomBundle, type DraftedRow } from './random-bundle.ts';

const never = new AbortController().signal;

describe('the scoring of rows', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'r2r-scoring-'));
  const bundleFolder = join(folder, 'bundle');
  const options = { bundleFolder, slmFolder: tinySlm, precision: 'fp32', device: 'cpu', threads: 1 } as const;
  let rows: DraftedRow[];
  const opened: Scoring[] = [];
  const open = async (change: Partial<ScoringOptions> = {}): Promise<Scoring> => {
    const scoring = await openScoring({ ...options, ...change });
    opened.push(scoring);
    return scoring;
  };
  before(async () => {
    await writeRandomBundle({ folder: bundleFolder, slmFolder: tinySlm, hiddenDims: [64, 64, 32] });
    rows = await draftedRows(70, tinySlm);
  });
  afterEach(async () => {
    for (const scoring of opened.splice(0)) await scoring.close();
  });
  after(() => rmSync(folder, { recursive: true }));

  const failsWith =
    (code: string, message = /./) =>
    (error: unknown): boolean => {
      assert.ok(error instanceof ScoringError, String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      return true;
    };

  for (const precision of ['fp32', 'int8'] as const) {
    it(`gives a row the same numbers, to the bit, alone and in any company (${precision})`, async () => {
      const scoring = await open({ precision });
      const scorer = scoring.scorerFor(signalNames);
      const alone: Signals[] = [];
      for (const row of rows) alone.push(...(await scorer.score([row], never)));
      assert.ok(new Set(alone.map(({ probability }) => probability)).size > 60, 'rows differ');
      assert.ok(alone.every(({ probability }) => probability > 0 && probability < 1));
      const partition = fc.array(fc.array(fc.nat(rows.length - 1), { maxLength: 40 }), { minLength: 1, maxLength: 8 });
      await fc.assert(
        fc.asyncProperty(partition, async (requests) => {
          const answers = await Promise.all(
            requests.map((request) =>
              scorer.score(
                request.map((index) => rows[index]!),
                never,
              ),
            ),
          );
          assert.deepEqual(
            answers,
            requests.map((request) => request.map((index) => alone[index])),
          );
        }),
        { numRuns: 50 },
      );
    });
  }

  it('recovers raw logits, and computes uncertainty and entropy from what the SLM said', async () => {
    const scoring = await open();
    const scorer = scoring.scorerFor(['aleatoric', 'epistemic', 'entropy']);
    assert.deepEqual([scorer.topLogprobs, scorer.hiddenStates], [100, true]);
    const signals = await scorer.score(rows, never);
    for (const [index, { top, logits }] of rows.entries()) {
      const { aleatoric, epistemic, entropy: nats } = signals[index]!;
      assert.deepEqual({ aleatoric, epistemic }, uncertaintyOf(logits));
      assert.equal(nats, entropy(top!));
    }
    const { spread } = scoring.stats();
    assert.deepEqual([spread?.rows, spread?.alarm], [70, false]);
    assert.ok(spread!.max < 0.3, `spread of ${spread!.max}`);
  });

  it('puts the rows of concurrent requests into one run, and says so', async () => {
    const batches: number[] = [];
    const scoring = await open({
      batchRows: 32,
      observer: { batch: ({ rows: count }) => batches.push(count), failure: (error) => assert.ifError(error) },
    });
    const scorer = scoring.scorerFor(['probability']);
    await Promise.all(rows.slice(0, 40).map((row) => scorer.score([row], never)));
    assert.deepEqual(batches, [1, 32, 7], 'the network started with the first row, and took what waited when it was free');
    const { rows: scored, batches: runs, waitingRows, runningRows, failures, up, runMs, loadMs } = scoring.stats();
    assert.deepEqual([scored, runs, waitingRows, runningRows, failures, up], [40, 3, 0, 0, 0, true]);
    assert.ok(runMs > 0 && loadMs > 0);
    assert.deepEqual(await scorer.score([], never), []);
  });

  it('lets a request go at once, with its waiting rows, and does the others', async () => {
    const scoring = await open();
    const scorer = scoring.scorerFor(['probability']);
    const leaving = new AbortController();
    const stays = scorer.score(rows.slice(0, 8), never);
    const leaves = scorer.score(rows.slice(0, 8), leaving.signal);
    assert.equal(scoring.stats().waitingRows, 8);
    leaving.abort(new Error('left'));
    await assert.rejects(leaves, /left/);
    assert.equal(scoring.stats().waitingRows, 0);
    assert.equal((await stays).length, 8);
    await assert.rejects(scorer.score(rows, leaving.signal), /left/);
  });

  it('gives no numbers to rows that lack something, and refuses those of another SLM', async () => {
    const scorer = (await open()).scorerFor(['probability', 'entropy']);
    const [row] = rows as [DraftedRow];
    const { id, top, hidden } = row as Required<ScorableRow>;
    const [noState, noTop, whole] = await scorer.score([{ id, top }, { id, hidden }, row], never);
    assert.deepEqual([noState?.probability, noState?.entropy], [NaN, whole?.entropy]);
    assert.deepEqual([noTop?.probability, noTop?.entropy], [NaN, NaN]);
    assert.ok(whole!.probability > 0);
    for (const [wrong, message] of [
      [{ id, top, hidden: new Float32Array(65) }, /has 65 values, the bundle's network takes 64/],
      [{ id: 480, top, hidden }, /token 480 is outside/],
      [{ id, top: { ids: top.ids.map(() => 480), logprobs: top.logprobs }, hidden }, /token 480 is outside/],
      [{ id, top: { ids: top.ids.subarray(0, 9), logprobs: top.logprobs }, hidden }, /has 9 entries, the bundle's network takes 100/],
    ] as const)
      await assert.rejects(scorer.score([row, wrong], never), failsWith('row_invalid', message));
  });

  it('says what a bundle cannot give', async () => {
    assert.throws(() => plainScorer(['entropy', 'probability']), failsWith('signal_unavailable', /^probability needs a router bundle/));
    const recovery = join(folder, 'recovery');
    await writeRandomBundle({ folder: recovery, slmFolder: tinySlm, hiddenDims: [], network: false, precisions: ['fp32'] });
    const scoring = await open({ bundleFolder: recovery });
    assert.throws(() => scoring.scorerFor(['probability']), failsWith('signal_unavailable', /import a checkpoint/));
    const [signals] = await scoring.scorerFor(['aleatoric']).score(rows, never);
    assert.ok(Number.isFinite(signals!.aleatoric) && Number.isNaN(signals!.probability));
    const plain = scoring.scorerFor(['entropy']);
    assert.deepEqual([plain.topLogprobs, plain.hiddenStates], [100, false]);
    const nothing = plainScorer([]);
    assert.deepEqual([nothing.topLogprobs, nothing.hiddenStates], [0, false]);
    const [row] = rows as [DraftedRow];
    assert.deepEqual(await plain.score([row, { id: 1 }], never), [
      { probability: NaN, entropy: entropy(row.top!), aleatoric: NaN, epistemic: NaN },
      { probability: NaN, entropy: NaN, aleatoric: NaN, epistemic: NaN },
    ]);
    await assert.rejects(nothing.score([row], AbortSignal.abort(new Error('left'))), /left/);
  });

  it('refuses a damaged bundle, another SLM, a precision or device that is not there', async () => {
    await assert.rejects(open({ slmFolder: tinyLlm }), failsWith('bundle_refused', /hiddenSize is 64, of the SLM in .* it is 128/));
    await assert.rejects(open({ bundleFolder: join(folder, 'nowhere') }), failsWith('bundle_refused', /no such router bundle/));
    const damaged = join(folder, 'damaged');
    cpSync(bundleFolder, damaged, { recursive: true });
    const data = join(damaged, 'router-int8.bin');
    const bytes = readFileSync(data);
    bytes[100]! ^= 1;
    writeFileSync(data, bytes);
    await assert.rejects(open({ bundleFolder: damaged }), failsWith('bundle_refused', /router-int8.bin: its sha256 is/));
    const single = join(folder, 'single');
    await writeRandomBundle({ folder: single, slmFolder: tinySlm, hiddenDims: [32], precisions: ['fp32'] });
    await assert.rejects(open({ bundleFolder: single, precision: 'int8' }), failsWith('precision_missing', /has no int8 graph, but fp32/));
  });

  it('never falls back to the CPU in silence', async function () {
    await assert.rejects(open({ device: 'cuda', precision: 'int8' }), failsWith('device_unavailable', /set router.precision to fp32/));
    if (globSync('/dev/nvidia[0-9]*').length > 0) this.skip();
    await assert.rejects(open({ device: 'cuda' }), failsWith('device_unavailable', /cannot run on a GPU .*; set router.device to cpu/s));
  });

  it('loses only the rows that are in the network when it fails, fails fast while it is away, and comes back', async () => {
    const slmFolder = join(folder, 'slm');
    cpSync(tinySlm, slmFolder, { recursive: true });
    const weights = join(slmFolder, 'model.safetensors');
    const whole = readFileSync(weights);
    const failures: string[] = [];
    const scoring = await open({
      slmFolder,
      restartDelaysMs: [0, 100],
      observer: { batch: () => undefined, failure: ({ message }) => failures.push(message) },
    });
    const scorer = scoring.scorerFor(['probability']);
    const before = await scorer.score(rows, never);
    truncateSync(weights, 100);
    const deadly = scorer.score(rows.slice(0, 8), never);
    const waiting = scorer.score(rows.slice(0, 8), never);
    await assert.rejects(deadly, failsWith('network_failed', /refused a batch: .*the file ends in row/));
    await assert.rejects(waiting, failsWith('network_failed', /cannot be started again/));
    await assert.rejects(scorer.score(rows, never), failsWith('network_failed'));
    assert.deepEqual([scoring.stats().up, scoring.stats().waitingRows], [false, 0]);
    writeFileSync(weights, whole);
    const after = await eventually(() => scorer.score(rows, never));
    assert.deepEqual(after, before);
    assert.ok(scoring.stats().failures >= 2 && failures.length === scoring.stats().failures);
    assert.equal(scoring.stats().up, true);
  });

  it('notices that its thread has ended', async () => {
    const thread = await NetworkThread.start(options);
    const batch = () => packRows(rows, thread.facts.manifest);
    await thread.run(batch());
    const running = thread.run(batch());
    await Promise.all([assert.rejects(running, failsWith('network_failed', /ended with code/)), thread.kill()]);
    await thread.ended;
    await assert.rejects(thread.run(batch()), failsWith('network_failed'));
  });

  it('when closed, ends the run under way and refuses the rest', async () => {
    const scoring = await openScoring(options);
    const scorer = scoring.scorerFor(['probability']);
    const running = scorer.score(rows.slice(0, 8), never);
    const waiting = scorer.score(rows.slice(0, 8), never);
    await Promise.all([assert.rejects(waiting, failsWith('scoring_closed')), scoring.close()]);
    assert.equal((await running).length, 8);
    await assert.rejects(scorer.score(rows, never), failsWith('scoring_closed'));
  });

  it('never runs the network on the event loop', () => {
    const importersOf = (module: RegExp) =>
      globSync('src/router/**/*.ts').filter((file) =>
        [...readFileSync(file, 'utf8').matchAll(/from '([^']+)'/g)].some(([, from]) => module.test(from!)),
      );
    assert.deepEqual(importersOf(/^onnxruntime-node$/), ['src/router/scoring/network.ts']);
    assert.deepEqual(importersOf(/\/network\.ts$/), ['src/router/scoring/network-worker.ts']);
  });
});

async function eventually(score: () => ReturnType<Scorer['score']>): ReturnType<Scorer['score']> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    try {
      return await score();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise(setImmediate);
    }
  }
}
