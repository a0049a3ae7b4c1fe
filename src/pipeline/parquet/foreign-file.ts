import { ParquetFile } from './parquet-file.ts';

/** Any Parquet file: its rows as JSON-like values. */
export interface ForeignFile {
  readonly columns: readonly string[];
  readonly rows: number;
}

/** @throws PipelineError `PIPELINE_PARQUET`; the file system's error */
export async function describeParquet(path: string): Promise<ForeignFile> {
  const file = await ParquetFile.open(path);
  try {
    return { columns: file.columns, rows: file.rows };
  } finally {
    await file.close();
  }
}

/**
 * Rows of a Parquet file from elsewhere; one row group at a time is in memory. Integers are numbers (strings beyond 2^53), times ISO strings,
 * lists and structs arrays and objects, what is missing null.
 *
 * @param columns those that are there; others are ignored
 * @throws PipelineError `PIPELINE_PARQUET`; the file system's error
 */
export async function* readParquet(path: string, columns?: readonly string[]): AsyncGenerator<Record<string, unknown>> {
  const file = await ParquetFile.open(path);
  try {
    const wanted = columns?.filter((column) => file.columns.includes(column));
    for await (const rows of file.groups(wanted)) for (const row of rows) yield plain(row) as Record<string, unknown>;
  } finally {
    await file.close();
  }
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value === undefined) return null;
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(plain);
  if (ArrayBuffer.isView(value)) return Array.from(value as Float32Array);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}
