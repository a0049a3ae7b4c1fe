import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkBundleFits, openBundle, openBundleEmbedding, openSlmTables } from '../../src/model/bundle.ts';
import { runNetwork, type CalibrationRow } from '../../src/model/import-bundle-comparison.ts';
import { importCheckpoint } from '../../src/model/import-bundle.ts';
import { parseNetworkConfig } from '../../src/model/router-network/network-config.ts';
import { safetensorsFile, storedAs } from './bundle-slm-folders.ts';
import { goldenNames, readGolden, type GoldenCase, type Rows } from './router-network/golden.ts';

const vocabSize = 48;
const names = await goldenNames();
/** No SLM's input embedding is narrower than its hidden states; the network alone is tested. */
const withoutSlm = ['token-narrow-embedding'];

const rowOf = (rows: Rows, name: string, row: number): Float32Array => {
  const { shape, values } = rows[name]!;
  const size = values.length / shape[0]!;
  return values.subarray(row * size, (row + 1) * size);
};

/** An SLM whose token `row` has the embedding of a golden row, and whose tokens from `5 * row` on have its five LM-head rows. */
function writeSlm(folder: string, rows: Rows): void {
  const width = rows['hidden']!.shape.at(-1)!;
  const table = (name: string) => {
    const values = new Float32Array(vocabSize * width);
    values.set(rows[name]!.values.subarray(0, values.length));
    return { type: 'F32', shape: [vocabSize, width], bytes: storedAs('F32', values) } as const;
  };
  mkdirSync(folder);
  const config = { model_type: 'qwen2', hidden_size: width, vocab_size: vocabSize, tie_word_embeddings: false, torch_dtype: 'bfloat16' };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const tensors = { 'model.embed_tokens.weight': table('embedding'), 'lm_head.weight': table('lm_head') };
  writeFileSync(join(folder, 'model.safetensors'), safetensorsFile(tensors));
}

/** The golden rows as an SLM's server would give them. */
async function rowsOf({ checkpoint, rows }: GoldenCase): Promise<CalibrationRow[]> {
  const own = await checkpoint.tensors.get('token_embeddings.weight')?.read();
  return Array.from({ length: rows['probability']!.values.length }, (_, row) => {
    const logprobs = rowOf(rows, 'logprobs', row);
    const width = rows['embedding']!.shape.at(-1)!;
    const embedding = rowOf(rows, 'embedding', row);
    const isRow = (id: number) => own!.subarray(id * width, (id + 1) * width).every((value, at) => value === embedding[at]);
    const id = own ? Array.from({ length: vocabSize }, (__, each) => each).find(isRow)! : row;
    return { id, hidden: rowOf(rows, 'hidden', row), topIds: Array.from(logprobs, (__, at) => (5 * row + at) % vocabSize), logprobs };
  });
}

describe("bundles of upstream's network classes", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'r2r-golden-bundle-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  for (const name of names.filter((each) => !withoutSlm.includes(each))) {
    it(`${name}: from checkpoint and SLM folder to upstream's own probabilities`, async () => {
      const golden = await readGolden(name);
      const { checkpoint, rows } = golden;
      const slmFolder = join(folder, 'slm');
      writeSlm(slmFolder, rows);
      const imported = importCheckpoint({
        checkpointPath: checkpoint.path,
        slmFolder,
        outFolder: join(folder, 'bundle'),
        precisions: ['fp32', 'int8'],
        source: name,
      });
      try {
        if (parseNetworkConfig(checkpoint.modelType, checkpoint.initArgs).window > 1) {
          await assert.rejects(imported, { code: 'BUNDLE_CHECKPOINT_INVALID' });
          return;
        }
        await imported;
        const bundle = await openBundle(join(folder, 'bundle'));
        await checkBundleFits(bundle, slmFolder);
        assert.equal(bundle.manifest.network, checkpoint.modelType);
        const calibration = await rowsOf(golden);
        const [tables, embedding] = await Promise.all([openSlmTables(slmFolder), openBundleEmbedding(bundle, slmFolder)]);
        for (const [precision, tolerance] of [
          ['fp32', 1e-5],
          ['int8', 0.05],
        ] as const) {
          const network = { ...bundle.manifest, model: join(bundle.folder, bundle.manifest.graphs[precision]!.model.name) };
          const { probabilities } = await runNetwork(network, calibration, { embedding, lmHead: tables.lmHead });
          for (const [row, expected] of rows['probability']!.values.entries())
            assert.ok(
              Math.abs(probabilities[row]! - expected) <= tolerance,
              `${precision}, row ${row}: ${probabilities[row]} and ${expected}`,
            );
        }
        await Promise.all([tables.close(), embedding.close()]);
      } finally {
        await checkpoint.close();
      }
    });
  }
});
