import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { openSlmTables } from '../../src/model/bundle.ts';
import { recoveryRows, type BundleManifest } from '../../src/model/bundle-manifest.ts';
import { importCheckpoint } from '../../src/model/import-bundle.ts';
import { loadTokenizer } from '../../src/model/tokenizer-folder.ts';
import { openWeights } from '../../src/model/safetensors.ts';
import { openScoring } from '../../src/router/scoring/index.ts';
import { SglangClient, type GeneratedToken } from '../../src/sglang/index.ts';
import { installSGLang } from '../../tools/sglang/install.ts';
import { sglangEnvironment } from '../../tools/sglang/on-cpu.ts';
import { quietLog, until } from '../router/stage.ts';
import { startTinyRouter, tinyModels } from '../router/tiny-pair.ts';
import { problems } from './live-router.ts';
import { liveServers, type LivePair } from './servers.ts';

const vocabSize = 480;
const hiddenSize = 64;
const asked = 100;
const embedding = 'model.embed_tokens.weight';

/**
 * Spacing of float32 numbers of the size of a log-probability and of the constant that is added to it (16 to 64). Logits below 0.001 lie closer
 * together than that, so that no log-probability in float32 tells them apart.
 */
const resolution = 2 ** -18;

type Row = GeneratedToken & Required<Pick<GeneratedToken, 'top' | 'hidden'>>;

describe('raw logits recovered from what a real SGLang answers', function () {
  this.timeout(5 * 60_000);
  let folder: string;
  let servers: LivePair;
  let rows: readonly Row[];

  before(async function () {
    this.timeout(30 * 60_000);
    servers = await liveServers();
    folder = await mkdtemp(join(tmpdir(), 'r2r-logits-'));
    rows = await draft(servers.slm.url);
    assert.ok(rows.length >= 500, `${rows.length} rows`);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('are hidden @ lm_head, bit for bit in bfloat16', async () => {
    const bundle = join(folder, 'recovery');
    const { manifest } = await importSlm(tinyModels.slm, bundle);
    const { logits, spread } = await recover(bundle, manifest, rows);
    const expected = await lmHeadProduct(rows);
    const { logitsSize } = manifest;
    const largest = expected.reduce((a, b) => Math.max(a, b));
    let wrong = 0;
    let unresolved = 0;
    for (const [row, { top }] of rows.entries())
      for (let rank = 0; rank < logitsSize; rank++) {
        const [logit, right] = [logits[row * logitsSize + rank]!, expected[row * vocabSize + top.ids[rank]!]!];
        if (logit === right) continue;
        if (stepOf(right) <= resolution && Math.abs(logit - right) <= resolution) unresolved++;
        else wrong++;
      }
    const split = spread.filter((each) => each > 1e-3).length;
    console.log(
      `      ${rows.length} rows of ${logitsSize} logits up to ${largest.toFixed(1)}: ${wrong} differ, ${unresolved} below 0.001 by less than ` +
        `float32 can tell; spread at most ${Math.max(...spread).toExponential(1)}, in ${split} rows a step of bfloat16`,
    );
    assert.equal(wrong, 0);
    assert.ok(unresolved <= rows.length / 50, `${unresolved}`);
    assert.ok(Math.max(...spread) <= stepOf(largest) * 1.01);
  });

  it('raise no alarm with the right SLM, and one with an SLM whose embedding is another', async () => {
    const other = join(folder, 'other-slm');
    await permuteEmbedding(other);
    for (const [slmFolder, alarm] of [
      [tinyModels.slm, false],
      [other, true],
    ] as const) {
      const bundleFolder = join(folder, alarm ? 'wrong' : 'right');
      await importSlm(slmFolder, bundleFolder);
      const scoring = await openScoring({ bundleFolder, slmFolder, precision: 'fp32', device: 'cpu', threads: 1 });
      try {
        await scoring.scorerFor(['aleatoric']).score(rows, new AbortController().signal);
        const { spread } = scoring.stats();
        assert.ok(spread);
        console.log(
          `      ${alarm ? 'wrong' : 'right'} SLM: mean spread ${spread.mean.toExponential(1)}, ${spread.share * 100} % above 0.3`,
        );
        assert.equal(spread.alarm, alarm);
      } finally {
        await scoring.close();
      }
    }
  });

  it('are not even tried where the SLM is served by another model: the router says so and is not ready', async () => {
    const bundleFolder = join(folder, 'recovery');
    const tiny = await startTinyRouter(servers.llm.url, servers.llm.url, {
      loadNetwork: () => openScoring({ bundleFolder, slmFolder: tinyModels.slm, precision: 'fp32', device: 'cpu', threads: 1 }),
      log: quietLog,
    });
    const { router } = tiny;
    try {
      tiny.configure({ strategy: 'immediate', threshold: undefined, precision: 'fp32' });
      await until(
        () => /hidden states have 128 values, the router network takes 64/.test(router.readiness().waitingFor.join()),
        'it is refused',
      );
    } finally {
      await router.stop();
    }
  });
});

/** Greedy tokens of some answers, with what a router asks for. */
async function draft(url: string): Promise<readonly Row[]> {
  const slm = new SglangClient({ url, vocabSize });
  const tokenizer = await loadTokenizer(tinyModels.slm);
  try {
    const rows: Row[] = [];
    // one at a time: batches of several sequences are multiplied in another order of summation
    for (const content of problems.slice(0, 8)) {
      const ids = tokenizer.encode(tokenizer.applyChatTemplate([{ role: 'user', content }]));
      const { tokens } = await slm.generate({ ids, maxNewTokens: 100, topLogprobs: asked, hiddenStates: true, timeoutMs: 120_000 });
      rows.push(...(tokens as readonly Row[]));
    }
    return rows;
  } finally {
    await slm.destroy();
  }
}

/** A bundle without a network. */
const importSlm = (slmFolder: string, outFolder: string) =>
  importCheckpoint({ checkpointPath: null, slmFolder, outFolder, precisions: ['fp32'], source: 'none' });

/** Runs the bundle's graph on all rows at once. */
async function recover(bundle: string, manifest: BundleManifest, rows: readonly Row[]) {
  const { logitsSize } = manifest;
  const hidden = new Float32Array(rows.length * hiddenSize);
  const logprobs = new Float32Array(rows.length * logitsSize);
  const lmHead = new Float32Array(rows.length * recoveryRows * hiddenSize);
  const bestIds = new Int32Array(rows.length * recoveryRows);
  for (const [index, { top, hidden: state }] of rows.entries()) {
    hidden.set(state, index * hiddenSize);
    logprobs.set(top.logprobs.subarray(0, logitsSize), index * logitsSize);
    bestIds.set(top.ids.subarray(0, recoveryRows), index * recoveryRows);
  }
  const tables = await openSlmTables(tinyModels.slm);
  tables.lmHead.gather(bestIds, lmHead);
  await tables.close();
  const session = await InferenceSession.create(join(bundle, manifest.graphs.fp32!.model.name), { intraOpNumThreads: 1 });
  const outputs = await session.run({
    hidden: new Tensor('float32', hidden, [rows.length, hiddenSize]),
    logprobs: new Tensor('float32', logprobs, [rows.length, logitsSize]),
    lm_head: new Tensor('float32', lmHead, [rows.length, recoveryRows, hiddenSize]),
  });
  const [logits, spread] = ['raw_logits', 'spread'].map((name) => outputs[name]!.data as Float32Array);
  await session.release();
  return { logits: logits!, spread: spread! };
}

/** hidden @ lm_head by the server's own PyTorch, [rows, vocabulary]. */
async function lmHeadProduct(rows: readonly Row[]): Promise<Float32Array> {
  const folder = await mkdtemp(join(tmpdir(), 'r2r-product-'));
  const [hiddenFile, logitsFile] = ['hidden', 'logits'].map((name) => join(folder, name)) as [string, string];
  await writeFile(hiddenFile, Buffer.concat(rows.map(({ hidden }) => Buffer.from(hidden.buffer, hidden.byteOffset, hidden.byteLength))));
  const { python } = await installSGLang(() => undefined);
  const script = join(import.meta.dirname, 'lm_head_product.py');
  await promisify(execFile)(python, [script, join(tinyModels.slm, 'model.safetensors'), embedding, hiddenFile, logitsFile], {
    env: { ...process.env, ...sglangEnvironment },
  });
  const bytes = await readFile(logitsFile);
  await rm(folder, { recursive: true });
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

/** A copy of the SLM in which each token has the embedding, and so the LM-head row, of the one before. */
async function permuteEmbedding(target: string): Promise<void> {
  await cp(tinyModels.slm, target, { recursive: true });
  const { offset, byteLength, shape } = (await openWeights(tinyModels.slm)).tensors.get(embedding)!;
  const file = join(target, 'model.safetensors');
  const bytes = await readFile(file);
  const rowBytes = byteLength / shape[0]!;
  const table = Buffer.from(bytes.subarray(offset, offset + byteLength));
  table.copy(bytes, offset + rowBytes, 0, byteLength - rowBytes);
  table.copy(bytes, offset, byteLength - rowBytes);
  await writeFile(file, bytes);
}

/** Distance of neighbouring bfloat16 numbers of a size. */
function stepOf(value: number): number {
  return 2 ** (Math.floor(Math.log2(Math.abs(value))) - 7);
}
