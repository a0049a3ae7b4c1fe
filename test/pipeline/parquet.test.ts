import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { readParquet } from '../../src/pipeline/parquet/foreign-file.ts';
import { readTable, readTableMetadata } from '../../src/pipeline/parquet/table-reader.ts';
import { ParquetTableWriter } from '../../src/pipeline/parquet/table-writer.ts';
import { table, type Row, type TableSchema } from '../../src/pipeline/table.ts';

const everything = table({
  flag: 'bool',
  small: 'int32',
  large: 'int64',
  single: 'float32',
  double: 'float64',
  text: 'string',
  ids: 'int32[]',
  indices: 'int64[]',
  vector: 'float32[]',
  bytes: { bytes: 3 },
});
type Everything = Row<typeof everything>;

const float32 = fc.float({ noNaN: true });
const anyRow: fc.Arbitrary<Everything> = fc.record({
  flag: fc.boolean(),
  small: fc.integer(),
  large: fc.maxSafeInteger(),
  single: float32,
  double: fc.double({ noNaN: true }),
  text: fc.string({ unit: 'binary' }),
  ids: fc.array(fc.integer(), { maxLength: 5 }).map((each) => Int32Array.from(each)),
  indices: fc.array(fc.maxSafeInteger(), { maxLength: 5 }),
  vector: fc.array(float32, { maxLength: 5 }).map((each) => Float32Array.from(each)),
  bytes: fc.uint8Array({ minLength: 3, maxLength: 3 }),
});

async function encoded<S extends TableSchema>(schema: S, rows: readonly Row<S>[], metadata?: Record<string, string>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  const sink = { write: (bytes: Uint8Array) => Promise.resolve(void parts.push(Uint8Array.from(bytes))) };
  const writer = new ParquetTableWriter(sink, schema, metadata);
  for (const row of rows) await writer.append(row);
  await writer.finish();
  assert.equal(writer.rows, rows.length);
  return Buffer.concat(parts);
}

async function collected<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const row of rows) all.push(row);
  return all;
}

describe('Parquet tables', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'r2r-parquet-'))));
  afterEach(() => rmSync(folder, { recursive: true }));
  const at = (name: string): string => join(folder, name);

  it('give back what was written, of every type', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(anyRow, { maxLength: 20 }), async (rows) => {
        const path = at(`${run++}.parquet`);
        writeFileSync(path, await encoded(everything, rows));
        const read = await collected(readTable(path, everything));
        assert.deepEqual(
          read.map((row) => ({ ...row, bytes: [...row.bytes] })),
          rows.map((row) => ({ ...row, bytes: [...row.bytes] })),
        );
      }),
      { numRuns: 60, seed: 7 },
    );
  });

  it('are the same bytes for the same rows', async () => {
    const rows = fc.sample(anyRow, { numRuns: 50, seed: 3 });
    assert.deepEqual(await encoded(everything, rows, { b: '1', a: '2' }), await encoded(everything, rows, { a: '2', b: '1' }));
  });

  it('consist of row groups of bounded size, read one at a time', async () => {
    const schema = table({ data_id: 'int64', hidden: { bytes: 3000 } });
    const rows = Array.from({ length: 7000 }, (_, index) => ({ data_id: index, hidden: new Uint8Array(3000).fill(index) }));
    writeFileSync(at('groups.parquet'), await encoded(schema, rows));
    let next = 0;
    for await (const { data_id, hidden } of readTable(at('groups.parquet'), schema)) {
      assert.equal(data_id, next);
      assert.equal(hidden[2999], next % 256);
      next++;
    }
    assert.equal(next, 7000);
    const { parquetMetadataAsync } = await import('hyparquet');
    const bytes = readFileSync(at('groups.parquet'));
    const { row_groups } = await parquetMetadataAsync(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    assert.deepEqual(
      row_groups.map(({ num_rows }) => Number(num_rows)),
      [1395, 1395, 1395, 1395, 1395, 25],
    );
  });

  it('can be empty, have metadata, and be read by column', async () => {
    writeFileSync(at('empty.parquet'), await encoded(everything, [], { 'r2r.hidden_size': '64' }));
    assert.deepEqual(await collected(readTable(at('empty.parquet'), everything)), []);
    assert.deepEqual(await readTableMetadata(at('empty.parquet')), { 'r2r.hidden_size': '64' });
    const rows = fc.sample(anyRow, { numRuns: 3, seed: 5 });
    writeFileSync(at('some.parquet'), await encoded(everything, rows));
    const read = await collected(readTable(at('some.parquet'), everything, ['text', 'large']));
    assert.deepEqual(
      read.map((row) => Object.keys(row)),
      rows.map(() => ['text', 'large']),
    );
  });

  it('refuse values of another type, naming the column', async () => {
    const schema = table({ data_id: 'int64', hidden: { bytes: 4 } });
    const wrong = (row: object): Promise<unknown> => encoded(schema, [row as Row<typeof schema>]);
    await assert.rejects(wrong({ data_id: 1.5, hidden: new Uint8Array(4) }), /column data_id: an integer was expected, got 1.5/);
    await assert.rejects(wrong({ data_id: 1, hidden: new Uint8Array(3) }), /column hidden: 4 bytes were expected, got 3/);
    await assert.rejects(wrong({ data_id: 1 }), /column hidden: bytes were expected, got undefined/);
  });

  it('tell which column a file lacks', async () => {
    writeFileSync(at('other.parquet'), await encoded(table({ id: 'string' }), [{ id: 'a' }]));
    const reading = collected(readTable(at('other.parquet'), everything, ['text']));
    await assert.rejects(reading, { code: 'PIPELINE_COLUMN', field: 'text' });
  });

  it('refuse what is no Parquet file', async () => {
    writeFileSync(at('none.parquet'), 'hello, this is no parquet file');
    await assert.rejects(collected(readParquet(at('none.parquet'))), { code: 'PIPELINE_PARQUET', file: at('none.parquet') });
  });
});

describe('Parquet files from elsewhere', () => {
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), 'r2r-parquet-'))));
  after(() => rmSync(folder, { recursive: true }));

  const columnData = [
    { name: 'id', data: [1n, 2n ** 60n], type: 'INT64' as const },
    { name: 'question', data: ['What?', null], type: 'STRING' as const },
    { name: 'turns', data: [[{ from: 'user', value: 'hi' }], []] },
    { name: 'when', data: [new Date(0), new Date(1000)], type: 'TIMESTAMP' as const },
  ];
  const compressors = {
    ZSTD: (bytes: Uint8Array) => zstdCompressSync(bytes),
    GZIP: (bytes: Uint8Array) => gzipSync(bytes),
    BROTLI: (bytes: Uint8Array) => brotliCompressSync(bytes),
  };
  for (const codec of ['UNCOMPRESSED', 'SNAPPY', 'GZIP', 'ZSTD', 'BROTLI'] as const)
    it(`are read (${codec})`, async () => {
      const path = join(folder, `${codec}.parquet`);
      writeFileSync(path, Buffer.from(parquetWriteBuffer({ columnData, codec, compressors })));
      const [first, second] = await collected(readParquet(path, ['id', 'question', 'when', 'missing']));
      assert.deepEqual(first, { id: 1, question: 'What?', when: '1970-01-01T00:00:00.000Z' });
      assert.deepEqual(second, { id: '1152921504606846976', question: null, when: '1970-01-01T00:00:01.000Z' });
      assert.deepEqual((await collected(readParquet(path)))[0]?.['turns'], [{ from: 'user', value: 'hi' }]);
    });

  it('that are compressed by what is not supported are refused, saying so', async () => {
    const path = join(folder, 'lz4.parquet');
    const lz4 = { LZ4_RAW: (bytes: Uint8Array) => bytes };
    writeFileSync(path, Buffer.from(parquetWriteBuffer({ columnData, codec: 'LZ4_RAW', compressors: lz4 })));
    await assert.rejects(collected(readParquet(path)), /compressed by LZ4_RAW, which is not supported; write it with zstd/);
  });
});
