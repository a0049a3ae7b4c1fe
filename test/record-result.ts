/** Puts the figures of a run at full size beside those of the others. */
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { scale } from './scale.ts';

const root = join(import.meta.dirname, '..');

/** The commit that runs, whatever is committed meanwhile. */
const commit = scale === 1 ? '' : execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();

/** Of a run that passed; one at the size of `npm test` writes nothing. */
export async function recordResult(name: string, figures: object): Promise<void> {
  if (scale === 1) return;
  const folder = join(root, 'bench/results');
  const file = join(folder, 'long.json');
  await mkdir(folder, { recursive: true });
  const known = JSON.parse(await readFile(file, 'utf8').catch(() => '{}')) as object;
  await writeFile(file, `${JSON.stringify({ ...known, [name]: { ...figures, commit } }, null, 2)}\n`);
}
