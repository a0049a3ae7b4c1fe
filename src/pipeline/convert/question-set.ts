import { PipelineError } from '../errors.ts';
import type { DatasetEntry } from '../params.ts';
import type { RowPlace, SourceRow } from './cells.ts';
import { DigestSet } from './digest-set.ts';
import { columnsOf, convertRow, type Question } from './question.ts';
import { openFile, type RowSource, type SourceFile } from './source.ts';

/** A question of the set, as the table has it but for its number. */
export interface SetQuestion extends Question {
  readonly source: string;
  readonly type: string;
}

/** Rows that gave no question. */
export interface Skipped {
  /** The filter did not want them. */
  filtered: number;
  /** They say nothing where the question, or one of its options, should be. */
  empty: number;
  /** The set has the same text already. */
  duplicates: number;
}

/** So many columns of JSON Lines are remembered for a message. */
const maxColumns = 1000;

/**
 * Questions of one data set after the other, in the order of their rows. A text that the set has already is left out, of whichever data set it is:
 * else a question could be trained on and tested with. Ids are unique.
 */
export class QuestionSet {
  readonly skipped: Skipped = { filtered: 0, empty: 0, duplicates: 0 };
  readonly #texts = new DigestSet();
  readonly #ids = new DigestSet();

  /**
   * @throws PipelineError `PIPELINE_COLUMN` naming data set, split and column, with the columns that there are; `PIPELINE_SOURCE`; the signal's
   * reason
   */
  async *of(entry: DatasetEntry, source: RowSource, signal: AbortSignal): AsyncGenerator<SetQuestion> {
    const { name, split, path, type, numItems = Infinity } = entry;
    let row = 0;
    let taken = 0;
    for (const file of source.files) {
      for await (const cells of rowsOf(entry, file, signal)) {
        const found = this.#convert(entry, cells, { dataset: name, split, file: file.path, row: row++ });
        if (!found) continue;
        yield { ...found, source: path, type };
        if (++taken === numItems) return;
      }
    }
  }

  #convert(entry: DatasetEntry, cells: SourceRow, place: RowPlace): Question | undefined {
    const found = convertRow(entry, cells, place);
    if (typeof found === 'string') {
      this.skipped[found]++;
      return undefined;
    }
    if (!this.#texts.add(found.question)) {
      this.skipped.duplicates++;
      return undefined;
    }
    if (this.#ids.add(found.id)) return found;
    const column = entry.idField ?? 'id';
    const problem = `two questions of data set ${entry.name}, split ${entry.split} have the id ${found.id}: column ${column} is not unique`;
    const fix = "name another column as idField, or leave it out: then a question's id is the number of its row";
    throw new PipelineError('PIPELINE_COLUMN', problem, fix, { file: place.file, field: column });
  }
}

/** Rows of a file that has the columns that are needed. */
async function* rowsOf(entry: DatasetEntry, file: SourceFile, signal: AbortSignal): AsyncGenerator<SourceRow> {
  const wanted = columnsOf(entry);
  const seen = new Set<string>();
  try {
    const { columns, rows } = await openFile(file, wanted, signal);
    if (columns) assertColumns(entry, wanted, columns, file.path);
    for await (const cells of rows) {
      signal.throwIfAborted();
      if (!columns && seen.size < maxColumns) for (const column of Object.keys(cells)) seen.add(column);
      yield cells;
    }
    // without a header: columns that no row has
    if (!columns && seen.size > 0) assertColumns(entry, wanted, [...seen], file.path);
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw inDataset(entry, file.path, cause);
  }
}

function assertColumns({ name, split }: DatasetEntry, wanted: readonly string[], there: readonly string[], file: string): void {
  const missing = wanted.find((column) => !there.includes(column));
  if (missing === undefined) return;
  const problem = `data set ${name}, split ${split} has no column ${missing}; its columns are: ${there.slice(0, 50).join(', ')}`;
  throw new PipelineError('PIPELINE_COLUMN', problem, 'name one of those', { file, field: missing });
}

/** An error of a file's reader, with the data set that the file is of. */
function inDataset({ name, split }: DatasetEntry, file: string, cause: unknown): PipelineError {
  const place = `data set ${name}, split ${split}`;
  if (!(cause instanceof PipelineError)) {
    const problem = `${place}: it cannot be read (${cause instanceof Error ? cause.message : String(cause)})`;
    return new PipelineError('PIPELINE_SOURCE', problem, 'check the file and the volume that it is on', { file, cause });
  }
  if (cause.problem.startsWith('data set ')) return cause;
  const { code, problem, fix, field, retryable } = cause;
  return new PipelineError(code, `${place}: ${problem}`, fix, { file, field, retryable, cause });
}
