import { readdir, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { PipelineError } from '../errors.ts';
import { errorCode, onDisk } from '../workspace/file-system.ts';

/** A split as the trainer knows it; `all`: files that belong to none, to be divided by question. */
export type FileSplit = 'train' | 'validation' | 'test' | 'all';

const aliases: Readonly<Record<string, FileSplit>> = {
  train: 'train',
  validation: 'validation',
  valid: 'validation',
  val: 'validation',
  dev: 'validation',
  test: 'test',
};
/** Beginnings of names that are no rows. */
const leftAside = ['cache-', 'state', 'dataset_info', '.', '_'];

/**
 * Files of a label set by split, in the trainer's order (trainer/r2r_trainer/label_set.py): folders or file names `train*`, `validation*`,
 * `test*`.
 *
 * @throws PipelineError `PIPELINE_SOURCE` when there is none
 */
export async function labelFiles(folder: string): Promise<ReadonlyMap<FileSplit, readonly string[]>> {
  const paths = (await rowFiles(folder)).filter((path) => !leftAside.some((start) => (path.split('/').at(-1) ?? '').startsWith(start)));
  if (paths.length === 0) {
    const fix = 'give the folder that the construct step wrote, or the label set that was trained on';
    throw new PipelineError('PIPELINE_SOURCE', 'it holds no .parquet or .arrow file', fix, { file: folder, field: '--data' });
  }
  const found = new Map<FileSplit, string[]>();
  for (const path of paths) {
    const split = splitOf(path === folder ? 'all' : relative(folder, path));
    found.set(split, [...(found.get(split) ?? []), path]);
  }
  return found;
}

async function rowFiles(folder: string): Promise<readonly string[]> {
  const entry = await onDisk(folder, () =>
    stat(folder).catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }),
  );
  if (entry?.isFile() === true) return [folder];
  if (!entry) return [];
  const names = await onDisk(folder, () => readdir(folder, { recursive: true }));
  return names
    .filter((name) => /\.(parquet|arrow)$/.test(name))
    .sort(byParts)
    .map((name) => join(folder, name));
}

/** As Python sorts paths: folder by folder. */
function byParts(a: string, b: string): number {
  const [left, right] = [a.split('/'), b.split('/')];
  for (let index = 0; index < Math.min(left.length, right.length); index++) {
    const [one, other] = [left[index] ?? '', right[index] ?? ''];
    if (one !== other) return one < other ? -1 : 1;
  }
  return left.length - right.length;
}

function splitOf(path: string): FileSplit {
  for (const part of path.split('/')) {
    const split = aliases[(part.split(/[.\-_]/, 1)[0] ?? '').toLowerCase()];
    if (split) return split;
  }
  return 'all';
}
