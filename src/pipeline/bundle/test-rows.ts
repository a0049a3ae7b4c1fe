import { createHash } from 'node:crypto';
import { PipelineError } from '../errors.ts';
import { readLabels, type Labels } from './label-columns.ts';
import { labelFiles, type FileSplit } from './label-files.ts';
import type { SplitSettings, TrainingSettings } from './trained.ts';

/** Rows of one file that the trainer scored. */
export interface TestFile {
  readonly path: string;
  /** One entry a row of the file: 0 not scored, 1 not divergent, 2 divergent. */
  readonly rows: Uint8Array;
}

export interface TestRows {
  readonly files: readonly TestFile[];
  readonly count: number;
  readonly positives: number;
  /** What the columns of features begin with: `small_`. */
  readonly prefix: string;
}

/** Rows that cannot be read here: the trainer's own figures have to do. */
export interface Unreadable {
  readonly unreadable: string;
}

/**
 * The rows of the test split as the trainer has chosen them: given as files, or by question out of what was given (trainer/r2r_trainer/questions.py,
 * splits.py).
 *
 * @param check sees each file before it is read
 * @throws PipelineError `PIPELINE_SOURCE`, `PIPELINE_COLUMN`, `PIPELINE_PARQUET`
 */
export async function testRows(
  folder: string,
  { splits, held_out_share: heldOut, split_seed: seed }: TrainingSettings,
  check: (path: string) => Promise<void>,
  signal: AbortSignal,
): Promise<TestRows | Unreadable> {
  const given = await labelFiles(folder);
  const source = sourceOf(given);
  const settings = splits[source === 'all' ? 'train' : source];
  const paths = given.get(source) ?? [];
  if (paths.some((path) => path.endsWith('.arrow')))
    return { unreadable: 'the label set is in Arrow files, which this program does not read' };
  if (settings.filters.some(([kind]) => kind === 'downsample_match_data'))
    return { unreadable: "the test rows are drawn by numpy's generator (filter downsample_match_data)" };
  for (const path of paths) await check(path);
  const labels = await readLabels(paths, { ...settings, label_column: splits.train.label_column }, signal);
  const used = filtered(labels, settings);
  const tested = testQuestions(labels, used, sharesOf(source, given.size, heldOut), seed);
  return { ...inFiles(labels, used, tested), prefix: splits.train.input_prefix };
}

/** @throws PipelineError `PIPELINE_INPUT_MISSING` when these are other rows than the network was tested on */
export function assertTested(rows: TestRows, folder: string, tested: { readonly rows: number; readonly positives: number }): void {
  if (rows.count === tested.rows && rows.positives === tested.positives) return;
  const problem = `the label set has ${rows.count} test rows, ${rows.positives} of them divergent, and the network was tested on ${tested.rows}, ${tested.positives} of them divergent`;
  const fix = 'train on this label set again, or give --data the one that was trained on';
  throw new PipelineError('PIPELINE_INPUT_MISSING', problem, fix, { file: folder, field: '--data' });
}

/** The files that the test rows are in. */
function sourceOf(given: ReadonlyMap<FileSplit, readonly string[]>): FileSplit {
  if (given.has('test')) return 'test';
  if (given.has('validation') && given.has('train')) return 'validation';
  return given.has('train') ? 'train' : 'all';
}

/** How those are divided further, in this order; what is left is not tested on. */
function sharesOf(source: FileSplit, given: number, heldOut: number): readonly (readonly [split: FileSplit, share: number])[] {
  const evenly = (share: number) => [['validation', share] as const, ['test', share] as const];
  if (source === 'all' || source === 'train') return evenly(heldOut / 2);
  return given === 2 ? evenly(0.5) : [['test', 1]];
}

/** `labels.used` behind upstream's filters, but for the one that draws. */
function filtered(labels: Labels, { filters }: SplitSettings): Uint8Array {
  const used = labels.used.slice();
  for (const [kind, options] of filters) {
    if (kind === 'is_mismatch') keepWhere(used, (row) => labels.mismatch[row] === 1);
    if (kind !== 'filter_data_id_critical') continue;
    const [rows, critical] = [new Int32Array(labels.names.length), new Int32Array(labels.names.length)];
    for (const [row, question] of labels.question.entries()) {
      if (used[row] !== 1) continue;
      rows[question] = (rows[question] ?? 0) + 1;
      if (labels.label[row] === 1) critical[question] = (critical[question] ?? 0) + 1;
    }
    const [least, most] = [Number(options['min_samples_per_data_id']), Number(options['max_critical_ratio'])];
    keepWhere(used, (row) => {
      const question = labels.question[row] ?? 0;
      const count = rows[question] ?? 0;
      return count >= least && (critical[question] ?? 0) <= most * count;
    });
  }
  return used;
}

function keepWhere(used: Uint8Array, keeps: (row: number) => boolean): void {
  for (let row = 0; row < used.length; row++) if (used[row] === 1 && !keeps(row)) used[row] = 0;
}

/** Which questions are tested on: in an order that only their ids and the seed decide. */
function testQuestions(labels: Labels, used: Uint8Array, shares: ReturnType<typeof sharesOf>, seed: number): Uint8Array {
  const present = new Uint8Array(labels.names.length);
  for (const [row, question] of labels.question.entries()) if (used[row] === 1) present[question] = 1;
  const ranked = labels.names
    .flatMap((name, question) =>
      present[question] === 1 ? [{ question, rank: createHash('sha256').update(`${seed}/${name}`).digest('hex') }] : [],
    )
    .sort((a, b) => (a.rank < b.rank ? -1 : 1));
  const tested = new Uint8Array(labels.names.length);
  let first = 0;
  for (const [split, share] of shares) {
    const count = Math.max(1, roundHalfToEven(share * ranked.length));
    if (split === 'test') for (const { question } of ranked.slice(first, first + count)) tested[question] = 1;
    first += count;
  }
  return tested;
}

/** As Python rounds. */
function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}

function inFiles(labels: Labels, used: Uint8Array, tested: Uint8Array): Omit<TestRows, 'prefix'> {
  const files: TestFile[] = [];
  let [first, count, positives] = [0, 0, 0];
  for (const { path, rows: length } of labels.files) {
    const rows = new Uint8Array(length);
    for (let index = 0; index < length; index++) {
      const row = first + index;
      if (used[row] !== 1 || tested[labels.question[row] ?? 0] !== 1) continue;
      const isPositive = labels.label[row] === 1;
      rows[index] = isPositive ? 2 : 1;
      count++;
      if (isPositive) positives++;
    }
    files.push({ path, rows });
    first += length;
  }
  return { files, count, positives };
}
