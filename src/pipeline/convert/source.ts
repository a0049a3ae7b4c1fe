import { describeParquet, readParquet } from '../parquet/foreign-file.ts';
import type { DatasetEntry } from '../params.ts';
import type { SourceAccess } from '../step.ts';
import type { SourceRow } from './cells.ts';
import { openCsv } from './csv.ts';
import { jsonLines } from './jsonl.ts';
import { openHubSource } from './source-hub.ts';
import { openLocalSource } from './source-local.ts';
import type { SplitFile } from './split-files.ts';

/** A split of a data set: its files, in order. */
export interface RowSource {
  /** What is read, as exactly as can be said: of a hub with the commit. */
  readonly address: string;
  readonly files: readonly SourceFile[];
}

export interface SourceFile extends SplitFile {
  /** Where its bytes are on this machine; of a hub they are downloaded first. */
  fetch(signal: AbortSignal): Promise<string>;
}

/** A file whose rows can be read, one after the other. */
export interface OpenFile {
  /** Undefined where only the rows tell. */
  readonly columns: readonly string[] | undefined;
  readonly rows: AsyncIterable<SourceRow>;
}

/**
 * Finds a data set's split: `hf://datasets/<org>/<repo>[@revision]`, `pvc://<claim>/<path>`, or a path, of a file or of a folder with splits. A
 * relative path is that of a file that comes with this program.
 *
 * @throws PipelineError `PIPELINE_SOURCE` naming data set, split and what there is; the signal's reason
 */
export function openSource(entry: DatasetEntry, access: SourceAccess, signal: AbortSignal): Promise<RowSource> {
  return entry.path.startsWith('hf:') ? openHubSource(entry, access, signal) : openLocalSource(entry, access);
}

/** @param columns the ones that are needed, so that others of a Parquet file are not read. @throws PipelineError */
export async function openFile(file: SourceFile, columns: readonly string[], signal: AbortSignal): Promise<OpenFile> {
  const path = await file.fetch(signal);
  switch (file.format) {
    case 'parquet':
      return { columns: (await describeParquet(path)).columns, rows: readParquet(path, columns) };
    case 'csv':
      return openCsv(path, file);
    case 'jsonl':
      return { columns: undefined, rows: jsonLines(path, file.compression) };
  }
}
