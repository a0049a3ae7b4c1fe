import { PipelineError } from '../errors.ts';

/** A row of a data set, as its file has it. */
export type SourceRow = Readonly<Record<string, unknown>>;

/** Where a row is, for messages. */
export interface RowPlace {
  /** Name of the entry. */
  readonly dataset: string;
  readonly split: string;
  readonly file: string;
  /** From 0, in the split. */
  readonly row: number;
}

/**
 * A cell's text, as it is; '' where there is none. Numbers and truth values become text.
 *
 * @throws PipelineError `PIPELINE_COLUMN` for what has no text: an object, a list, bytes, a number that has lost digits
 */
export function textOf(row: SourceRow, column: string, place: RowPlace): string {
  const value = Object.hasOwn(row, column) ? row[column] : undefined;
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number' && (Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value))))
    return String(value);
  throw wrongCell(column, typeof value === 'number' ? 'a number that is not exact' : kindOf(value), 'text', place);
}

/** The content of the first turn of a role, of a conversation as lists of {role, content} or {from, value} have it; '' where there is none. */
export function turnOf(row: SourceRow, column: string, role: string, place: RowPlace): string {
  const value = Object.hasOwn(row, column) ? row[column] : undefined;
  if (value === undefined || value === null) return '';
  if (!Array.isArray(value)) throw wrongCell(column, kindOf(value), 'a list of turns', place);
  for (const turn of value as readonly unknown[]) {
    const fields = typeof turn === 'object' && turn !== null ? (turn as SourceRow) : {};
    const [who, what] = 'role' in fields ? ['role', 'content'] : ['from', 'value'];
    if (!(who in fields) || !(what in fields))
      throw wrongCell(column, `a turn with ${Object.keys(fields).join(', ') || 'nothing'}`, 'role and content, or from and value', place);
    if (fields[who] === role) return textOf(fields, what, place);
  }
  return '';
}

function wrongCell(column: string, found: string, wanted: string, { dataset, split, file, row }: RowPlace): PipelineError {
  const problem = `column ${column} of data set ${dataset}, split ${split}, row ${row} holds ${found}, and ${wanted} is needed`;
  return new PipelineError('PIPELINE_COLUMN', problem, 'name another column, or correct the data', { file, field: column });
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Uint8Array) return 'bytes';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
