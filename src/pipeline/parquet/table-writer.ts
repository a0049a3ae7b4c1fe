import type { ColumnChunk } from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import type { Row, TableSchema } from '../table.ts';
import { Column } from './column.ts';
import { columnPage } from './column-chunk.ts';
import { parquetSchemaOf } from './schema.ts';

/** Plain bytes after which a row group ends. By the data alone: the same rows give the same file. */
const groupBytes = 4 * 2 ** 20;
const groupRows = 65_536;

/** Where a file's bytes go. They are its own only until the promise resolves. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

/** Writes a table row by row; in memory there is never more than a row group, and beside it a column of it as it is written. */
export class ParquetTableWriter<S extends TableSchema> {
  readonly #sink: ByteSink;
  readonly #columns: readonly Column[];
  readonly #bytes = new ByteWriter();
  readonly #file: ParquetWriter;
  #groupRows = 0;
  #rows = 0;

  constructor(sink: ByteSink, schema: S, metadata: Readonly<Record<string, string>> = {}) {
    this.#sink = sink;
    this.#columns = Object.entries(schema.columns).map(([name, type]) => new Column(name, type));
    const kvMetadata = Object.entries(metadata)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => ({ key, value }));
    this.#file = new ParquetWriter({ writer: this.#bytes, schema: parquetSchemaOf(schema), kvMetadata, createdBy: 'r2r' });
  }

  get rows(): number {
    return this.#rows;
  }

  /** @throws Error naming the column whose value is not of its type; the sink's error */
  async append(row: Row<S>): Promise<void> {
    let bytes = 0;
    for (const column of this.#columns) {
      try {
        column.append(row[column.name]);
      } catch (cause) {
        throw new Error(`column ${column.name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
      }
      bytes += column.values.length;
    }
    this.#rows++;
    this.#groupRows++;
    if (bytes >= groupBytes || this.#groupRows === groupRows) await this.#writeGroup();
  }

  /** Writes what is left, and the file's end. */
  async finish(): Promise<void> {
    await this.#writeGroup();
    for (const column of this.#columns) column.release();
    await this.#file.finish();
    await this.#flush();
  }

  async #writeGroup(): Promise<void> {
    if (this.#groupRows === 0) return;
    // what begins the file goes ahead of its first group
    await this.#flush();
    const start = this.#bytes.offset;
    const columns: ColumnChunk[] = [];
    for (const column of this.#columns) {
      const page = columnPage(this.#bytes.offset, column, this.#groupRows);
      for (const piece of page.pieces) {
        await this.#sink.write(piece);
        this.#bytes.offset += piece.byteLength;
      }
      page.release();
      column.clear();
      columns.push(page.chunk);
    }
    const num_rows = BigInt(this.#groupRows);
    const total_byte_size = columns.reduce((sum, { meta_data }) => sum + (meta_data?.total_uncompressed_size ?? 0n), 0n);
    this.#file.row_groups.push({ columns, num_rows, total_byte_size, total_compressed_size: BigInt(this.#bytes.offset - start) });
    this.#file.num_rows += num_rows;
    this.#groupRows = 0;
  }

  async #flush(): Promise<void> {
    await this.#sink.write(this.#bytes.getBytes());
    // the buffer is used again; the offset goes on
    this.#bytes.index = 0;
  }
}
