import { copyFile, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomSlm, writeRandomBundle } from '../../test/router/scoring/random-bundle.ts';
import { hiddenSize } from './rows.ts';

/** A folder that a router takes for a model with 1,536 features, and a bundle of the published network's size with random weights. */
export interface BenchModel {
  readonly slmFolder: string;
  readonly bundleFolder: string;
}

const tokenizerFolder = join(import.meta.dirname, '../../examples/models/slm');

export async function makeBenchModel(): Promise<BenchModel> {
  const slmFolder = await randomSlm(512, hiddenSize);
  const own = JSON.parse(await readFile(join(slmFolder, 'config.json'), 'utf8')) as object;
  for (const name of await readdir(tokenizerFolder))
    if (!name.endsWith('.safetensors') && name !== 'config.json') await copyFile(join(tokenizerFolder, name), join(slmFolder, name));
  const other = JSON.parse(await readFile(join(tokenizerFolder, 'config.json'), 'utf8')) as object;
  await writeFile(join(slmFolder, 'config.json'), JSON.stringify({ ...other, ...own, max_position_embeddings: 32_768 }));
  const bundleFolder = join(await mkdtemp(join(tmpdir(), 'r2r-bench-bundle-')), 'bundle');
  await writeRandomBundle({ folder: bundleFolder, slmFolder, hiddenDims: Array<number>(6).fill(1024) });
  return { slmFolder, bundleFolder };
}
