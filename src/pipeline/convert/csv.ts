import { Readable, pipeline } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { PipelineError } from '../errors.ts';
import type { SourceRow } from './cells.ts';
import type { FileKind } from './file-format.ts';
import { bytesOf, maxRecordBytes, textOfBytes } from './text-file.ts';

export interface CsvFile {
  readonly columns: readonly string[];
  readonly rows: AsyncIterable<SourceRow>;
}

/**
 * A CSV file (RFC 4180, UTF-8) whose first record names the columns; all values are text. Ends reading when `rows` is left.
 *
 * @throws PipelineError `PIPELINE_SOURCE` naming the line; also from `rows`
 */
export async function openCsv(path: string, { compression, delimiter }: FileKind): Promise<CsvFile> {
  const records = recordsOf(path, compression, delimiter);
  const first = await records.next();
  const columns = first.done === true ? [] : first.value.map((name) => name.trim());
  const twice = columns.find((name, index) => columns.indexOf(name) !== index);
  if (columns.length === 0 || twice !== undefined) {
    await records.return(undefined);
    const problem = twice === undefined ? 'it is empty' : `two columns are called ${JSON.stringify(twice)}`;
    throw new PipelineError('PIPELINE_SOURCE', problem, 'let its first line name each column once', { file: path });
  }
  return { columns, rows: named(records, columns) };
}

async function* named(records: AsyncGenerator<readonly string[]>, columns: readonly string[]): AsyncGenerator<SourceRow> {
  for await (const record of records) yield Object.fromEntries(columns.map((name, index) => [name, record[index] ?? '']));
}

async function* recordsOf(
  path: string,
  compression: FileKind['compression'],
  delimiter: string,
): AsyncGenerator<readonly string[], undefined> {
  const parser = parse({ delimiter, skip_empty_lines: true, max_record_size: maxRecordBytes });
  // errors of the source reach the reader through the parser
  pipeline(Readable.from(textOfBytes(bytesOf(path, compression), path)), parser, () => undefined);
  try {
    yield* parser as AsyncIterable<readonly string[]>;
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    throw new PipelineError(
      'PIPELINE_SOURCE',
      `it is no CSV: ${cause.message}`,
      'quote values that hold separators, quotes or line breaks',
      {
        file: path,
        cause,
      },
    );
  }
}
