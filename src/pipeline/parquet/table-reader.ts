import { PipelineError } from '../errors.ts';
import type { ColumnType, Row, TableSchema } from '../table.ts';
import { ParquetFile } from './parquet-file.ts';

/**
 * Rows of a table that this pipeline wrote. Only the columns asked for are there.
 *
 * @throws PipelineError `PIPELINE_COLUMN` when the file lacks one, `PIPELINE_PARQUET`
 */
export async function* readTable<S extends TableSchema>(
  path: string,
  schema: S,
  columns: readonly (keyof S['columns'] & string)[] = Object.keys(schema.columns),
): AsyncGenerator<Row<S>> {
  const file = await ParquetFile.open(path);
  try {
    const missing = columns.find((column) => !file.columns.includes(column));
    if (missing !== undefined) {
      const problem = `it has no column ${missing}, but ${file.columns.join(', ')}`;
      throw new PipelineError('PIPELINE_COLUMN', problem, 'run the step that writes it again', { file: path, field: missing });
    }
    for await (const rows of file.groups(columns)) for (const row of rows) yield typed(row, schema, columns) as Row<S>;
  } finally {
    await file.close();
  }
}

/** The metadata of a file that this pipeline wrote. */
export async function readTableMetadata(path: string): Promise<Readonly<Record<string, string>>> {
  const file = await ParquetFile.open(path);
  try {
    return file.metadata;
  } finally {
    await file.close();
  }
}

function typed(row: Record<string, unknown>, schema: TableSchema, columns: readonly string[]): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const column of columns) {
    const type = schema.columns[column];
    if (type !== undefined) values[column] = valueOf(row[column], type);
  }
  return values;
}

function valueOf(value: unknown, type: ColumnType): unknown {
  if (type === 'int64') return Number(value);
  if (type === 'float32[]') return Float32Array.from(value as readonly number[]);
  if (type === 'int32[]') return Int32Array.from(value as readonly number[]);
  if (type === 'int64[]') return (value as readonly bigint[]).map(Number);
  return value;
}
