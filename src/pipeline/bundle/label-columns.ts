import { PipelineError } from '../errors.ts';
import { ParquetFile } from '../parquet/parquet-file.ts';
import type { SplitSettings } from './trained.ts';

/** What decides whether the trainer scores a row: one entry a row, files one behind the other. */
export interface Labels {
  /** Rows of each file. */
  readonly files: readonly { readonly path: string; readonly rows: number }[];
  /** Number of the row's question, from 0. */
  readonly question: Int32Array;
  /** -1, 0, 1 */
  readonly label: Int8Array;
  readonly mismatch: Uint8Array;
  /** Its mask allows it, and its label is known. */
  readonly used: Uint8Array;
  /** The ids of the questions, by number. */
  readonly names: readonly string[];
}

type Cells = Readonly<Record<string, unknown>>;

/**
 * Reads the columns of labels. As the trainer has it, all rows count where there is no `mask`, and mismatches are the divergent rows where
 * there is no `mismatch`.
 *
 * @throws PipelineError `PIPELINE_COLUMN`, `PIPELINE_PARQUET`
 */
export async function readLabels(
  paths: readonly string[],
  { label_column: labelColumn }: SplitSettings,
  signal: AbortSignal,
): Promise<Labels> {
  const files: { path: string; rows: number }[] = [];
  const [question, label, mismatch, used] = [
    new Growing(Int32Array),
    new Growing(Int8Array),
    new Growing(Uint8Array),
    new Growing(Uint8Array),
  ];
  const numbers = new Map<string, number>();
  for (const path of paths) {
    const file = await ParquetFile.open(path);
    try {
      const has = (name: string): boolean => file.columns.includes(name);
      const columns = ['data_id', labelColumn, ...['mask', 'mismatch'].filter(has)];
      const missing = columns.find((name) => !has(name));
      if (missing !== undefined) throw wrong(path, missing, `it is missing; there are ${file.columns.join(', ')}`);
      for await (const rows of file.groups(columns)) {
        signal.throwIfAborted();
        for (const row of rows) {
          const name = nameOf(row, path);
          const number = numbers.get(name) ?? numbers.size;
          numbers.set(name, number);
          const value = integer(row, labelColumn, [-1, 0, 1], path);
          question.push(number);
          label.push(value);
          mismatch.push(has('mismatch') ? integer(row, 'mismatch', [0, 1], path) : value === 1 ? 1 : 0);
          used.push(value >= 0 && (!has('mask') || integer(row, 'mask', [0, 1], path) === 1) ? 1 : 0);
        }
      }
      files.push({ path, rows: file.rows });
    } finally {
      await file.close();
    }
  }
  return { files, question: question.all, label: label.all, mismatch: mismatch.all, used: used.all, names: [...numbers.keys()] };
}

function nameOf({ data_id: id }: Cells, path: string): string {
  if (typeof id === 'string' || typeof id === 'bigint' || typeof id === 'number') return String(id);
  throw wrong(path, 'data_id', `it holds ${id === null || id === undefined ? 'nulls' : typeof id}`);
}

function integer(row: Cells, column: string, known: readonly number[], path: string): number {
  const value = row[column];
  const number = typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean' ? Number(value) : Number.NaN;
  if (known.includes(number)) return number;
  throw wrong(path, column, `it holds ${String(value)}, and only ${known.join(', ')} can be`);
}

function wrong(file: string, field: string, problem: string): PipelineError {
  return new PipelineError('PIPELINE_COLUMN', `column ${field}: ${problem}`, 'construct the label set again', { file, field });
}

/** Numbers that become more, in a fraction of an array's memory. */
class Growing<T extends Int32Array | Int8Array | Uint8Array> {
  readonly #make: new (length: number) => T;
  #values: T;
  #length = 0;

  constructor(make: new (length: number) => T) {
    this.#make = make;
    this.#values = new make(1024);
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = new this.#make(2 * this.#length);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#length++] = value;
  }

  get all(): T {
    return this.#values.subarray(0, this.#length) as T;
  }
}
