/** The trainer's own tests (pytest), and that what it writes becomes a bundle here. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { importCheckpoint } from '../src/model/import-bundle.ts';
import { run } from './cluster/commands.ts';

const trainer = join(import.meta.dirname, '..', 'trainer');
const slmFolder = join(import.meta.dirname, '..', 'examples', 'models', 'slm');
const env = { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1', PYTHONDONTWRITEBYTECODE: '1' };
/** A label set in the SLM's sizes, of random rows. */
const labelSet = `
import sys; sys.path.insert(0, "tests")
from making import label_set; from pathlib import Path
label_set(Path(sys.argv[1]), hidden=64, logits=100, vocabulary=464)`;

describe('trainer', () => {
  let python: string;
  before(async function () {
    this.timeout(600_000);
    const options = { env, timeoutMs: 590_000 };
    python = (await run(join(trainer, 'setup.sh'), [], options)).trim();
  });

  it('passes its own tests', async function () {
    this.timeout(600_000);
    await run(python, ['-m', 'pytest', '-q', '--no-header', '--tb=short'], { env, cwd: trainer, timeoutMs: 590_000 });
  });

  it('writes checkpoints of which bundles can be made', async function () {
    this.timeout(120_000);
    const folder = mkdtempSync(join(tmpdir(), 'r2r-trainer-'));
    try {
      const [data, out] = [join(folder, 'labels'), join(folder, 'out')];
      await run(python, ['-c', labelSet, data], { env, cwd: trainer });
      const settings = ['training.params.num_epochs=2', 'training.params.batch_size=128'].flatMap((setting) => ['--set', setting]);
      const flags = ['--data', data, '--out', out, '--slm', slmFolder, '--hidden-dims', '32,32', '--device', 'cpu', ...settings];
      const printed = JSON.parse(await run(python, ['-m', 'r2r_trainer', ...flags], { env, cwd: trainer })) as {
        readonly model: string;
        readonly threshold: number;
      };
      const { manifest } = await importCheckpoint({
        checkpointPath: printed.model,
        slmFolder,
        outFolder: join(folder, 'bundle'),
        precisions: ['fp32', 'int8'],
        source: 'the trainer',
      });
      assert.equal(manifest.threshold, printed.threshold);
      assert.deepEqual(manifest.inputs, ['hidden', 'embedding', 'logprobs', 'lm_head']);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
