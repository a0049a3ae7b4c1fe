import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkBundleFits, openBundle, openBundleEmbedding } from '../../src/model/bundle.ts';
import { readCheckpoint } from '../../src/model/checkpoint/read-checkpoint.ts';
import { assertNetworkFits } from '../../src/model/import-bundle-checkpoint.ts';
import { compareProbabilities, type CalibrationRow } from '../../src/model/import-bundle-comparison.ts';
import { importCheckpoint, type ImportOptions } from '../../src/model/import-bundle.ts';
import { openWeights } from '../../src/model/safetensors.ts';
import { loadSlmConfig } from '../../src/model/slm-config.ts';
import { saveAgain, tinyLlm, tinySlm } from './bundle-slm-folders.ts';

const fixture = (name: string) => join(import.meta.dirname, 'bundle-fixtures', name);

/** Rows as a server of the example SLM could give them: any hidden state, any twenty tokens, falling log-probabilities. */
const madeUpRows = (count: number): CalibrationRow[] =>
  Array.from({ length: count }, (_, row) => ({
    id: (row * 7) % 480,
    hidden: Float32Array.from({ length: 64 }, (__, at) => Math.sin(row * 13 + at * at)),
    topIds: Array.from({ length: 20 }, (__, at) => (row + 11 * at) % 480),
    logprobs: Array.from({ length: 20 }, (__, at) => -0.1 - at * (0.3 + (row % 5) / 10)),
  }));

describe('import of router checkpoints', () => {
  let folder: string;
  let out: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'r2r-import-'));
    out = join(folder, 'bundle');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const imported = (change: Partial<ImportOptions> = {}, signal?: AbortSignal) =>
    importCheckpoint(
      {
        checkpointPath: fixture('tiny.pt'),
        slmFolder: tinySlm,
        outFolder: out,
        precisions: ['fp32', 'int8'],
        source: 'tiny.pt',
        ...change,
      },
      signal,
    );
  const refused = async (code: string, message: RegExp, attempt: Promise<unknown>) => {
    await assert.rejects(attempt, (error) => {
      assert.ok(error instanceof Error && 'code' in error, String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      return true;
    });
  };
  /** What is in the folder of the bundle besides the bundle: a failed import leaves nothing. */
  const left = () => readdirSync(folder);

  it('writes a bundle that opens, fits its SLM and says what is in it', async () => {
    const steps: string[] = [];
    const written = await imported({
      calibration: () => madeUpRows(70),
      progress: (at) => steps.push('precision' in at ? `${at.step} ${at.precision}` : at.step),
    });
    const bundle = await openBundle(out);
    assert.deepEqual([bundle.digest, bundle.folder, written.existed], [written.digest, written.folder, false]);
    assert.deepEqual(bundle.manifest, written.manifest);
    await checkBundleFits(bundle, tinySlm);
    assert.deepEqual(left(), ['bundle']);
    assert.deepEqual(readdirSync(out).sort(), [
      'bundle.json',
      'router-fp32.bin',
      'router-fp32.onnx',
      'router-int8.bin',
      'router-int8.onnx',
    ]);
    assert.deepEqual(steps, [
      'checkpoint',
      'slm',
      'network fp32',
      'network int8',
      'embedding',
      'calibration',
      'comparison fp32',
      'comparison int8',
      'manifest',
    ]);

    const { manifest } = bundle;
    const { graphs, metrics, slm, provenance, ...rest } = manifest;
    assert.deepEqual(rest, {
      formatVersion: 1,
      network: 'HiddenStatesTokenLMHeadLogitsClassifier',
      inputs: ['hidden', 'embedding', 'logprobs', 'lm_head'],
      classes: 1,
      hiddenSize: 64,
      embeddingSize: 64,
      logitsSize: 20,
      parameters: rest.parameters,
      threshold: 0.35,
      logitsType: 'bfloat16',
    });
    const checkpoint = await readCheckpoint(fixture('tiny.pt'));
    const sizes = [...checkpoint.tensors.values()].map(({ shape }) => shape.reduce((product, size) => product * size, 1));
    assert.equal(
      rest.parameters,
      sizes.reduce((sum, size) => sum + size),
    );
    assert.deepEqual(provenance, { checkpointDigest: checkpoint.digest, source: 'tiny.pt' });
    await checkpoint.close();
    assert.deepEqual([slm.name, slm.vocabSize, slm.lmHeadDigest], ['qwen2', 480, slm.embeddingDigest]);
    assert.equal(metrics['recall'], 0.95);
    assert.ok(metrics['calibrationMaxLogitSpread']! > 0);
    assert.ok(!('note' in metrics));
    assert.equal(graphs.fp32?.comparison, undefined);
    const comparison = graphs.int8?.comparison;
    assert.deepEqual([comparison?.rows, comparison?.threshold], [70, 0.35]);
    assert.ok(comparison!.maxDifference > 0 && comparison!.maxDifference < 0.05, JSON.stringify(comparison));
    assert.ok(comparison!.meanDifference > 0 && comparison!.meanDifference <= comparison!.maxDifference);
  });

  it('gives the same bytes wherever and whenever, and leaves a bundle that is there already alone', async () => {
    const calibration = () => madeUpRows(40);
    const first = await imported({ calibration });
    const before = readFileSync(join(out, 'bundle.json'), 'utf8');
    const elsewhere = await imported({ calibration, outFolder: join(folder, 'deep/down/other') });
    assert.equal(elsewhere.digest, first.digest);
    assert.equal(readFileSync(join(folder, 'deep/down/other/bundle.json'), 'utf8'), before);
    const again = await imported({ calibration });
    assert.deepEqual([again.digest, again.existed], [first.digest, true]);
    assert.deepEqual(left().sort(), ['bundle', 'deep']);
  });

  it('fills an empty folder, and replaces neither another bundle nor anything else', async () => {
    mkdirSync(out);
    const first = await imported();
    await refused(
      'BUNDLE_OUTPUT_EXISTS',
      new RegExp(`another bundle is there \\(sha256 ${first.digest}\\)`),
      imported({ precisions: ['fp32'] }),
    );
    assert.equal((await openBundle(out)).digest, first.digest);
    writeFileSync(join(out, 'router-fp32.bin'), 'damaged');
    await refused(
      'BUNDLE_OUTPUT_EXISTS',
      /something else is there that is no whole bundle; write to another folder, or remove this one/,
      imported(),
    );
    rmSync(out, { recursive: true });
    mkdirSync(out);
    writeFileSync(join(out, 'thesis.tex'), 'years of work');
    await refused('BUNDLE_OUTPUT_EXISTS', /something else is there/, imported());
    rmSync(out, { recursive: true });
    writeFileSync(out, 'a file');
    await refused('BUNDLE_OUTPUT_EXISTS', /something else is there/, imported());
    assert.deepEqual(left(), ['bundle']);
  });

  it('makes a bundle without a network from the SLM alone', async () => {
    const { manifest } = await imported({ checkpointPath: null, precisions: ['int8'], calibration: unasked });
    assert.deepEqual(
      [manifest.network, manifest.classes, manifest.parameters, manifest.threshold, manifest.provenance.checkpointDigest],
      [null, 0, 0, null, null],
    );
    assert.deepEqual(manifest.inputs, ['hidden', 'logprobs', 'lm_head']);
    assert.deepEqual(Object.keys(manifest.graphs), ['fp32']);
    await checkBundleFits(await openBundle(out), tinySlm);
  });

  it('compares int8 with fp32 also when only int8 is kept', async () => {
    const both = await imported({ calibration: () => madeUpRows(40) });
    const { manifest } = await imported({ calibration: () => madeUpRows(40), precisions: ['int8'], outFolder: join(folder, 'int8') });
    assert.deepEqual(manifest.graphs, { int8: both.manifest.graphs.int8 });
    assert.deepEqual(readdirSync(join(folder, 'int8')).sort(), ['bundle.json', 'router-int8.bin', 'router-int8.onnx']);
  });

  it('asks for no calibration rows where nothing is to be compared', async () => {
    const { manifest } = await imported({ precisions: ['fp32'], calibration: unasked });
    assert.equal(manifest.graphs.fp32?.comparison, undefined);
    rmSync(out, { recursive: true });
    assert.equal((await imported()).manifest.graphs.int8?.comparison, undefined);
  });

  it("leaves out a checkpoint's copy of the SLM's embedding, in whatever type the SLM is stored", async () => {
    for (const type of ['BF16', 'F16', 'F32'] as const) {
      const slmFolder = join(folder, `slm-${type}`);
      await saveAgain(tinySlm, slmFolder, { type, shards: 3 });
      const outFolder = join(folder, type);
      const { manifest } = await imported({ checkpointPath: fixture('everything_all.pt'), slmFolder, outFolder });
      assert.equal(manifest.ownEmbedding, undefined, type);
      const plain = await imported({ slmFolder, outFolder: join(folder, `${type}-plain`) });
      assert.deepEqual(manifest.graphs, plain.manifest.graphs);
      await checkBundleFits(await openBundle(outFolder), slmFolder);
    }
  });

  it('keeps an embedding that was trained on', async () => {
    const { manifest } = await imported({ checkpointPath: fixture('trained_all.pt'), calibration: () => madeUpRows(40) });
    assert.equal(manifest.ownEmbedding?.bytes, 480 * 64 * 4);
    const table = await openBundleEmbedding(await openBundle(out), tinySlm);
    const rows = new Float32Array(480 * 64);
    table.gather(
      Int32Array.from({ length: 480 }, (_, id) => id),
      rows,
    );
    await table.close();
    const checkpoint = await readCheckpoint(fixture('trained_all.pt'));
    assert.deepEqual(rows, await checkpoint.tensors.get('token_embeddings.weight')!.read());
    await checkpoint.close();
    assert.notDeepEqual(rows, await (await openWeights(tinySlm)).read('model.embed_tokens.weight'));
    // the network was compared on that embedding, so its numbers are others
    const plain = await imported({ outFolder: join(folder, 'plain'), calibration: () => madeUpRows(40) });
    assert.deepEqual(manifest.graphs.fp32, plain.manifest.graphs.fp32);
    assert.notDeepEqual(manifest.graphs.int8?.comparison, plain.manifest.graphs.int8?.comparison);
  });

  it('keeps the absence of a threshold, and compares at one half then', async () => {
    const { manifest } = await imported({ checkpointPath: fixture('no-threshold.pt'), calibration: () => madeUpRows(10) });
    assert.equal(manifest.threshold, null);
    assert.equal(manifest.graphs.int8?.comparison?.threshold, 0.5);
  });

  for (const [what, change, code, message] of [
    [
      'a threshold that is none',
      { checkpointPath: fixture('wrong-threshold.pt') },
      'BUNDLE_CHECKPOINT_INVALID',
      /common_args\.threshold is 35, not a probability/,
    ],
    [
      'a checkpoint for another hidden size',
      { checkpointPath: fixture('wide.pt') },
      'BUNDLE_SLM_MISMATCH',
      /hidden_states_size is 128 \(pretrained_model_name "Qwen\/Qwen3-0\.6B"\), the hidden size of the SLM in .*slm is 64; give an SLM of hidden size 128,/,
    ],
    ['an SLM of another size', { slmFolder: tinyLlm }, 'BUNDLE_SLM_MISMATCH', /hidden_states_size is 64 .* is 128/],
    [
      "upstream's wrong width for Qwen3-4B",
      { overrideInitArgs: { hidden_states_size: 2048, pretrained_model_name: 'Qwen/Qwen3-4B' } },
      'BUNDLE_SLM_MISMATCH',
      /Qwen3-1\.7B has it; upstream names 2048 for other sizes by mistake/,
    ],
    ['an argument that contradicts the weights', { overrideInitArgs: { hidden_dims: [8, 9] } }, 'NETWORK_TENSOR_SHAPE', /tensor /],
    ['an unknown argument', { overrideInitArgs: { colour: 'red' } }, 'NETWORK_ARGUMENT_INVALID', /colour/],
    ['what is no checkpoint', { checkpointPath: fixture('make.py') }, 'CHECKPOINT_FORMAT', /not a torch checkpoint/],
    ['a folder without a model', { slmFolder: import.meta.dirname }, 'MODEL_FILE_MISSING', /config\.json/],
    [
      'rows of another SLM',
      { calibration: () => [{ ...madeUpRows(1)[0]!, hidden: new Float32Array(65) }] },
      'BUNDLE_CALIBRATION_FAILED',
      /row 0: its hidden state has 65 values/,
    ],
    [
      'rows with too few log-probabilities',
      { calibration: () => [...madeUpRows(1), { ...madeUpRows(1)[0]!, logprobs: [-1] }] },
      'BUNDLE_CALIBRATION_FAILED',
      /row 1: it has 1 log-probabilities, the network takes 20/,
    ],
    [
      'rows with tokens the SLM lacks',
      { calibration: () => [{ ...madeUpRows(1)[0]!, id: 480 }] },
      'BUNDLE_CALIBRATION_FAILED',
      /has 480 rows, asked was row 480/,
    ],
  ] as const satisfies readonly (readonly [string, Partial<ImportOptions>, string, RegExp])[]) {
    it(`refuses ${what}, by name, and leaves nothing`, async () => {
      await refused(code, message, imported(change));
      assert.deepEqual(left(), []);
    });
  }

  it('refuses a network that judges several rows together, which no router serves', async () => {
    const checkpoint = await readCheckpoint(fixture('tiny.pt'));
    const windowed = { ...checkpoint, modelType: 'MultiHiddenStatesClassifier', initArgs: { hidden_states_size: 192 } };
    const slm = await loadSlmConfig(tinySlm);
    assert.throws(() => assertNetworkFits(windowed, slm, tinySlm), /a MultiHiddenStatesClassifier judges 3 rows together/);
    await checkpoint.close();
  });

  it('stops when told to and leaves nothing, at any step', async () => {
    const steps = ['checkpoint', 'slm', 'network', 'embedding', 'calibration', 'comparison', 'manifest'];
    for (const stopAt of steps) {
      const stop = new AbortController();
      const attempt = imported(
        {
          checkpointPath: fixture('trained_all.pt'),
          calibration: () => madeUpRows(5),
          progress: ({ step }) => step === stopAt && stop.abort(new Error(`stopped at ${step}`)),
        },
        stop.signal,
      );
      await assert.rejects(attempt, new RegExp(`stopped at ${stopAt}`));
      assert.deepEqual(left(), [], stopAt);
    }
  });

  it('removes what a killed import left behind, and nothing of a live one', async () => {
    const dead = spawnSync('true').pid;
    const scratch = (pid: number, rest = 'abcd') => join(folder, `.bundle.partial-${hostname()}-${pid}-${rest}`);
    for (const name of [
      scratch(dead),
      scratch(process.ppid),
      join(folder, '.bundle.partial-other-host-1-abcd'),
      join(folder, '.bundle2.partial-x'),
    ]) {
      mkdirSync(name);
      writeFileSync(join(name, 'router-fp32.bin'), 'partial');
    }
    await imported();
    assert.ok(!existsSync(scratch(dead)));
    assert.deepEqual(
      left().sort(),
      ['.bundle.partial-other-host-1-abcd', `.bundle.partial-${hostname()}-${process.ppid}-abcd`, '.bundle2.partial-x', 'bundle'].sort(),
    );
  });

  it('lets two imports to one place both succeed', async () => {
    const both = await Promise.all([imported(), imported()]);
    assert.equal(both[0].digest, both[1].digest);
    assert.deepEqual(both.map(({ existed }) => existed).sort(), [false, true]);
    assert.deepEqual(left(), ['bundle']);
  });
});

describe('comparison of precisions', () => {
  it('counts changed decisions, a row being divergent from the threshold on', () => {
    const exact = Float64Array.of(0.1, 0.5, 0.49, 0.9);
    const other = Float64Array.of(0.1, 0.49, 0.5, 0.7);
    const { maxDifference, meanDifference, ...rest } = compareProbabilities(exact, other, 0.5);
    assert.deepEqual(rest, { rows: 4, threshold: 0.5, changed: 2 });
    assert.ok(Math.abs(maxDifference - 0.2) < 1e-12 && Math.abs(meanDifference - 0.055) < 1e-12);
  });
});

/** Rows that must not be asked for. */
async function* unasked(): AsyncGenerator<CalibrationRow> {
  await Promise.resolve();
  yield assert.fail('calibration rows were asked for');
}
