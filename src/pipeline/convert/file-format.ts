import type { DatasetEntry } from '../params.ts';

export type FileFormat = NonNullable<DatasetEntry['format']>;

export interface FileKind {
  readonly format: FileFormat;
  /** Around text formats; Parquet compresses by itself. */
  readonly compression: 'none' | 'gzip' | 'zstd';
  /** Of CSV. */
  readonly delimiter: ',' | '\t';
}

const formats: Readonly<Record<string, FileFormat>> = {
  parquet: 'parquet',
  jsonl: 'jsonl',
  ndjson: 'jsonl',
  json: 'jsonl',
  csv: 'csv',
  tsv: 'csv',
};

/** What a file is by its endings; undefined for one that holds no rows, as far as its name tells. */
export function kindOfFile(path: string, given?: FileFormat): FileKind | undefined {
  const name = path.toLowerCase();
  const compression = name.endsWith('.gz') ? 'gzip' : name.endsWith('.zst') ? 'zstd' : 'none';
  const ending = /\.([a-z]+)$/.exec(name.replace(/\.(gz|zst)$/, ''))?.[1] ?? '';
  const format = given ?? formats[ending];
  if (format === undefined || (format === 'parquet' && compression !== 'none')) return undefined;
  return { format, compression, delimiter: ending === 'tsv' ? '\t' : ',' };
}
