import { PipelineError } from '../errors.ts';
import type { DatasetEntry } from '../params.ts';
import { declaredSubsets, type DeclaredSubset } from './dataset-card.ts';
import { kindOfFile, type FileFormat, type FileKind } from './file-format.ts';
import { matchesPattern } from './path-pattern.ts';

export interface SplitFile extends FileKind {
  /** In the data set. */
  readonly path: string;
}

/** Words by which files of a split are told, in folders and file names. */
const splitWords: readonly (readonly [split: string, words: RegExp])[] = [
  ['train', /(?:^|[^a-z0-9])(?:train|training)(?:[^a-z]|$)/i],
  ['validation', /(?:^|[^a-z0-9])(?:validation|valid|val|dev)(?:[^a-z]|$)/i],
  ['test', /(?:^|[^a-z0-9])(?:test|testing|eval|evaluation)(?:[^a-z]|$)/i],
];
const numbered = /(?:^|\/)([A-Za-z0-9_.]+)-\d{5}-of-\d{5}[^/]*$/;

/**
 * The files of a subset and split in a data set's repository or folder, as the `datasets` library finds them: by the card's `configs`, else by
 * names (`<split>-00000-of-00002.parquet`, `train` and so on as a word of the path), else all files are `train`.
 *
 * @param paths all files, sorted
 * @param card text of its README.md, where it has one
 * @throws PipelineError `PIPELINE_SOURCE` naming the data set, and the subsets, splits or files that there are
 */
export function filesOfSplit(paths: readonly string[], card: string | undefined, entry: DatasetEntry): readonly SplitFile[] {
  const { name, subset, split, format } = entry;
  const files = paths.flatMap((path): SplitFile[] => {
    // with a format given, any file of it: also one whose ending says nothing
    const kind = kindOfFile(path) ?? (format !== undefined && !path.includes('.') ? kindOfFile(path, format) : undefined);
    return kind && (format === undefined || kind.format === format) ? [{ ...kind, path }] : [];
  });
  const refuse = (problem: string, fix: string, field?: string): PipelineError =>
    new PipelineError('PIPELINE_SOURCE', `data set ${name}, ${problem}`, fix, { file: entry.path, field });
  if (files.length === 0) {
    const shown = paths.slice(0, 10).join(', ') || 'nothing';
    throw refuse(
      `${entry.path} has no ${format ?? 'Parquet, JSON Lines or CSV'} file, but ${shown}`,
      'name another data set or format',
      'path',
    );
  }
  const declared = declaredSubsets(card);
  const chosen = declared.length > 0 ? declaredSubset(declared, subset, refuse) : undefined;
  const splits = chosen?.splits
    ? declaredSplits(files, chosen.splits)
    : namedSplits(inFolder(files, chosen ? chosen.folder : undefined, chosen ? undefined : subset, refuse));
  const found = splits.get(split);
  if (!found || found.length === 0) {
    const there = [...splits.keys()].filter((each) => splits.get(each)?.length).join(', ') || 'none';
    throw refuse(`split ${split}: there is no such split; there are: ${there}`, 'correct split, or subset', 'split');
  }
  return format === undefined ? ofOneFormat(found) : found;
}

type Refuse = (problem: string, fix: string, field?: string) => PipelineError;

function declaredSubset(declared: readonly DeclaredSubset[], wanted: string | undefined, refuse: Refuse): DeclaredSubset {
  const names = declared.map(({ name }) => name).join(', ');
  const chosen = declared.find(({ name, isDefault }) => (wanted === undefined ? isDefault || declared.length === 1 : name === wanted));
  if (chosen) return chosen;
  const problem = wanted === undefined ? 'no subset is named, and none is the default' : `subset ${wanted}: there is no such subset`;
  throw refuse(`${problem}; there are: ${names}`, 'name one of them as subset', 'subset');
}

function declaredSplits(
  files: readonly SplitFile[],
  splits: NonNullable<DeclaredSubset['splits']>,
): ReadonlyMap<string, readonly SplitFile[]> {
  const found = new Map<string, readonly SplitFile[]>();
  for (const { split, path: patterns } of splits) {
    const matching = patterns.flatMap((pattern) => files.filter(({ path }) => matchesPattern(path, pattern)));
    found.set(split, [...new Set([...(found.get(split) ?? []), ...matching])]);
  }
  return found;
}

/** Without a card that says more, a subset is a folder, or a file of that name. */
function inFolder(
  files: readonly SplitFile[],
  folder: string | undefined,
  subset: string | undefined,
  refuse: Refuse,
): readonly SplitFile[] {
  const below = (name: string) => files.filter(({ path }) => path.startsWith(`${name}/`));
  if (folder !== undefined) return below(folder);
  if (subset === undefined) return files;
  const found = [below(subset), files.filter(({ path }) => path.split('/').at(-1)?.replace(/\..*$/, '') === subset)].find(
    ({ length }) => length > 0,
  );
  if (found) return found;
  const there = [...new Set(files.map(({ path }) => path.split('/')[0] ?? ''))].slice(0, 20).join(', ');
  throw refuse(`subset ${subset}: there is no such folder or file; there are: ${there}`, 'correct subset, or leave it out', 'subset');
}

function namedSplits(files: readonly SplitFile[]): ReadonlyMap<string, readonly SplitFile[]> {
  const splits = new Map<string, SplitFile[]>();
  const put = (split: string, file: SplitFile): void => void splits.set(split, [...(splits.get(split) ?? []), file]);
  for (const file of files) {
    const split = numbered.exec(file.path)?.[1];
    if (split !== undefined) put(split, file);
  }
  if (splits.size > 0) return splits;
  for (const file of files) {
    const split = splitWords.find(([, words]) => words.test(file.path))?.[0];
    if (split !== undefined) put(split, file);
  }
  if (splits.size > 0) return splits;
  return new Map([['train', files]]);
}

/** A data set often has the same rows in several formats. */
function ofOneFormat(files: readonly SplitFile[]): readonly SplitFile[] {
  const count = (format: FileFormat): number => files.filter((file) => file.format === format).length;
  const [format] = (['parquet', 'jsonl', 'csv'] as const).toSorted((a, b) => count(b) - count(a));
  return files.filter((file) => file.format === format);
}
