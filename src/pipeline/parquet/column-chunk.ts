import type { ColumnChunk } from 'hyparquet';
import { ByteWriter } from 'hyparquet-writer';
import { writePageHeader } from 'hyparquet-writer/src/datapage.js';
import { snappyCompress } from 'hyparquet-writer/src/snappy.js';
import type { Column } from './column.ts';
import { GrowingBytes } from './growing-bytes.ts';

/** A column of a row group: its bytes in their order, and what the file's end says of it. */
export interface ColumnPage {
  readonly pieces: readonly Uint8Array[];
  readonly chunk: ColumnChunk;
  /** Gives back what was only made for the pieces, once they are written. */
  release(): void;
}

/**
 * A column of a row group as one page of plain values. The library's own encoder takes lists value by value, with two levels beside each:
 * at 15 MB/s a label set would wait for it, and its room is many times the data's. Here a vector is written as it is.
 *
 * @param offset in the file
 */
export function columnPage(offset: number, column: Column, rows: number): ColumnPage {
  const header = new ByteWriter();
  const { levels, repetitionBytes, definitionBytes, count, nulls } = column.isList ? listLevels(column.lengths) : noLevels(rows);
  const plain = column.type === 'bool' ? packedBits(column.values.bytes) : column.values.bytes;
  const body = column.isCompressed ? snappyCompress(plain) : plain;
  writePageHeader(header, {
    type: 'DATA_PAGE_V2',
    uncompressed_page_size: levels.length + plain.byteLength,
    compressed_page_size: levels.length + body.byteLength,
    data_page_header_v2: {
      num_values: count,
      num_nulls: nulls,
      num_rows: rows,
      encoding: 'PLAIN',
      definition_levels_byte_length: definitionBytes,
      repetition_levels_byte_length: repetitionBytes,
      is_compressed: column.isCompressed,
    },
  });
  const pieces = [header.getBytes(), levels.bytes, body];
  const chunk: ColumnChunk = {
    file_offset: BigInt(offset),
    meta_data: {
      type: column.physicalType,
      encodings: ['PLAIN', 'RLE'],
      path_in_schema: column.isList ? [column.name, 'list', 'element'] : [column.name],
      codec: column.isCompressed ? 'SNAPPY' : 'UNCOMPRESSED',
      num_values: BigInt(count),
      total_compressed_size: BigInt(header.offset + levels.length + body.byteLength),
      total_uncompressed_size: BigInt(header.offset + levels.length + plain.byteLength),
      data_page_offset: BigInt(offset),
    },
  };
  return {
    pieces,
    chunk,
    release() {
      levels.release();
      for (const made of [plain, body]) if (made.buffer !== column.values.bytes.buffer) giveBack(made);
    },
  };
}

/** Without waiting for the garbage collector. @param bytes nobody else's */
function giveBack({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
}

interface Levels {
  readonly levels: GrowingBytes;
  readonly repetitionBytes: number;
  readonly definitionBytes: number;
  /** Values and empty lists. */
  readonly count: number;
  /** Empty lists. */
  readonly nulls: number;
}

function noLevels(rows: number): Levels {
  return { levels: new GrowingBytes(), repetitionBytes: 0, definitionBytes: 0, count: rows, nulls: 0 };
}

/** A list's first value repeats at level 0, its others at level 1; an empty list is one entry that is not defined. Both as runs. */
function listLevels(lengths: readonly number[]): Levels {
  const levels = new GrowingBytes();
  const repetition = new Runs(levels);
  let count = 0;
  let nulls = 0;
  for (const length of lengths) {
    repetition.add(0, 1);
    repetition.add(1, length - 1);
    count += Math.max(length, 1);
    if (length === 0) nulls++;
  }
  repetition.end();
  const repetitionBytes = levels.length;
  const definition = new Runs(levels);
  for (const length of lengths) definition.add(length === 0 ? 0 : 1, Math.max(length, 1));
  definition.end();
  return { levels, repetitionBytes, definitionBytes: levels.length - repetitionBytes, count, nulls };
}

/** Parquet's run-length encoding of levels 0 and 1. */
class Runs {
  readonly #target: GrowingBytes;
  #level = 0;
  #length = 0;

  constructor(target: GrowingBytes) {
    this.#target = target;
  }

  add(level: number, count: number): void {
    if (count <= 0) return;
    if (level !== this.#level) this.end();
    this.#level = level;
    this.#length += count;
  }

  end(): void {
    if (this.#length === 0) return;
    this.#target.varint(this.#length * 2);
    this.#target.uint8(this.#level);
    this.#length = 0;
  }
}

function packedBits(bytes: Uint8Array): Uint8Array {
  const packed = new Uint8Array(Math.ceil(bytes.length / 8));
  for (const [index, bit] of bytes.entries()) packed[index >> 3] = (packed[index >> 3] ?? 0) | (bit << (index & 7));
  return packed;
}
