import { open, type FileHandle } from 'node:fs/promises';
import { parquetMetadataAsync, parquetReadObjects, type AsyncBuffer, type FileMetaData } from 'hyparquet';
import { PipelineError } from '../errors.ts';
import { decompressors } from './codecs.ts';

/** An open Parquet file, read by row groups. */
export class ParquetFile {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #buffer: AsyncBuffer;
  readonly #metadata: FileMetaData;

  private constructor(path: string, handle: FileHandle, buffer: AsyncBuffer, metadata: FileMetaData) {
    this.path = path;
    this.#handle = handle;
    this.#buffer = buffer;
    this.#metadata = metadata;
  }

  /** @throws PipelineError `PIPELINE_PARQUET` when it is none; the file system's error */
  static async open(path: string): Promise<ParquetFile> {
    const handle = await open(path, 'r');
    try {
      const buffer = fileBuffer(handle, (await handle.stat()).size);
      return new ParquetFile(path, handle, buffer, await reading(path, () => parquetMetadataAsync(buffer)));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get rows(): number {
    return Number(this.#metadata.num_rows);
  }

  /** Top-level columns. */
  get columns(): readonly string[] {
    const { schema } = this.#metadata;
    const names: string[] = [];
    // the elements are a tree in pre-order
    for (let index = 1; index < schema.length;) {
      names.push(schema[index]?.name ?? '');
      for (let left = 1; left > 0; left--) left += schema[index++]?.num_children ?? 0;
    }
    return names;
  }

  get metadata(): Readonly<Record<string, string>> {
    return Object.fromEntries((this.#metadata.key_value_metadata ?? []).map(({ key, value }) => [key, value ?? '']));
  }

  /** Row groups, one in memory at a time. Values as the library has them. @param columns top-level names @default all */
  async *groups(columns?: readonly string[]): AsyncGenerator<readonly Record<string, unknown>[]> {
    for await (const { rows } of this.groupsWhere(() => true, columns)) yield rows;
  }

  /** As {@link groups}, but only those that are wanted, each with the number of its first row. */
  async *groupsWhere(
    wanted: (firstRow: number, endRow: number) => boolean,
    columns?: readonly string[],
  ): AsyncGenerator<{ readonly firstRow: number; readonly rows: readonly Record<string, unknown>[] }> {
    let rowStart = 0;
    for (const { num_rows } of this.#metadata.row_groups) {
      const rowEnd = rowStart + Number(num_rows);
      const range = { rowStart, rowEnd, ...(columns && { columns: [...columns] }) };
      if (wanted(rowStart, rowEnd)) {
        const rows = await reading(this.path, () =>
          parquetReadObjects({ file: this.#buffer, metadata: this.#metadata, compressors: decompressors, ...range }),
        );
        yield { firstRow: rowStart, rows };
      }
      rowStart = rowEnd;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

function fileBuffer(handle: FileHandle, byteLength: number): AsyncBuffer {
  return {
    byteLength,
    async slice(start, end = byteLength) {
      const from = start < 0 ? Math.max(0, byteLength + start) : start;
      const bytes = new Uint8Array(Math.max(0, Math.min(end, byteLength) - from));
      for (let read = 0; read < bytes.byteLength;) {
        const { bytesRead } = await handle.read(bytes, read, bytes.byteLength - read, from + read);
        if (bytesRead === 0) throw new Error(`the file ends after ${from + read} bytes`);
        read += bytesRead;
      }
      return bytes.buffer;
    },
  };
}

async function reading<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    const codec = /unsupported compression codec: (\w+)/.exec(said)?.[1];
    const problem = codec === undefined ? `it cannot be read as Parquet: ${said}` : `it is compressed by ${codec}, which is not supported`;
    const fix = codec === undefined ? 'check the file, or download it again' : 'write it with zstd, snappy, gzip or no compression';
    throw new PipelineError('PIPELINE_PARQUET', problem, fix, { file: path, cause });
  }
}
