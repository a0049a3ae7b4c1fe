import { crc32 } from 'node:zlib';

/** One entry of an archive to be written; what is left out is as torch writes it. */
export interface EntrySpec {
  readonly name: string;
  readonly data: Buffer;
  readonly crc?: number;
  readonly flags?: number;
  readonly method?: number;
  /** Size that both places claim. */
  readonly size?: number;
  /** Compressed size that the directory claims. */
  readonly packed?: number;
  readonly comment?: string;
  /** What the local header says otherwise than the directory. */
  readonly local?: {
    readonly name?: string;
    readonly flags?: number;
    readonly method?: number;
    readonly size?: number;
    readonly crc?: number;
  };
  /** Extra fields of the local header; torch aligns the data to 64 bytes with them. */
  readonly extra?: Buffer;
  /** Extra fields of the directory. */
  readonly directoryExtra?: Buffer;
  /** What follows the data; by default the descriptor that `flags` asks for. */
  readonly descriptor?: Buffer;
  /** Write sizes as zip64 fields, as torch does above 4 GiB. */
  readonly zip64?: boolean;
  /** Where the directory says that the entry is. */
  readonly headerOffset?: number;
}

export interface ArchiveSpec {
  /** Leave out the 64-bit end record, as old tools do. */
  readonly narrow?: boolean;
  /** Bytes before the first entry and before the directory. */
  readonly before?: Buffer;
  readonly after?: Buffer;
  /** Changes the directory's bytes, and the end records'. */
  readonly directory?: (bytes: Buffer) => Buffer;
  readonly end?: (bytes: Buffer) => Buffer;
}

function fields(...values: readonly (readonly [size: 2 | 4 | 8, value: number])[]): Buffer {
  return Buffer.concat(
    values.map(([size, value]) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(BigInt(value));
      return bytes.subarray(0, size);
    }),
  );
}

export function extraField(id: number, data: Buffer): Buffer {
  return Buffer.concat([fields([2, id], [2, data.length]), data]);
}

const sizes64 = (size: number) => extraField(1, fields([8, size], [8, size]));

/** A zip archive, by default byte for byte of torch's form: stored, streamed headers, 64-bit end record. */
export function archive(specs: readonly EntrySpec[], form: ArchiveSpec = {}): Buffer {
  const parts: Buffer[] = [form.before ?? Buffer.alloc(0)];
  const directory: Buffer[] = [];
  let position = parts[0]!.length;
  const add = (...buffers: Buffer[]) => {
    parts.push(...buffers);
    for (const { length } of buffers) position += length;
  };
  for (const spec of specs) {
    const { data, local = {} } = spec;
    const { crc = crc32(data), size = data.length, method = 0, flags = data.length === 0 ? 0x0800 : 0x0808 } = spec;
    const name = Buffer.from(spec.name);
    const localName = Buffer.from(local.name ?? spec.name);
    const header = spec.headerOffset ?? position;
    const streamed = (flags & 8) !== 0;
    const extra = spec.extra ?? (spec.zip64 ? sizes64(size) : Buffer.alloc(0));
    const localSize = local.size ?? (spec.zip64 && !streamed ? 0xffffffff : streamed ? 0 : size);
    add(
      fields([4, 0x04034b50], [2, 0], [2, local.flags ?? flags], [2, local.method ?? method], [4, 0]),
      fields([4, local.crc ?? (streamed ? 0 : crc)], [4, localSize], [4, localSize], [2, localName.length], [2, extra.length]),
      localName,
      extra,
      data,
    );
    const width = spec.zip64 ? 8 : 4;
    if (spec.descriptor) add(spec.descriptor);
    else if (streamed) add(fields([4, 0x08074b50], [4, crc], [width, size], [width, size]));
    const directoryExtra = spec.directoryExtra ?? (spec.zip64 ? sizes64(size) : Buffer.alloc(0));
    const [narrowSize, narrowPacked] = spec.zip64 ? [0xffffffff, 0xffffffff] : [size, spec.packed ?? size];
    const comment = Buffer.from(spec.comment ?? '');
    directory.push(
      fields(
        [4, 0x02014b50],
        [2, 0],
        [2, 0],
        [2, flags],
        [2, method],
        [4, 0],
        [4, crc],
        [4, narrowPacked],
        [4, narrowSize],
        [2, name.length],
      ),
      fields([2, directoryExtra.length], [2, comment.length], [2, 0], [2, 0], [4, 0], [4, header]),
      name,
      directoryExtra,
      comment,
    );
  }
  add(form.after ?? Buffer.alloc(0));
  const start = position;
  const bytes = (form.directory ?? ((same) => same))(Buffer.concat(directory));
  add(bytes);
  const count = specs.length;
  const wide = fields([4, 0x06064b50], [8, 44], [2, 798], [2, 45], [4, 0], [4, 0], [8, count], [8, count], [8, bytes.length], [8, start]);
  const locator = fields([4, 0x07064b50], [4, 0], [8, position], [4, 1]);
  const end = fields([4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, bytes.length], [4, start], [2, 0]);
  const ends = Buffer.concat(form.narrow ? [end] : [wide, locator, end]);
  add((form.end ?? ((same) => same))(ends));
  return Buffer.concat(parts);
}

/** The entries of a checkpoint with this pickle and these storages. */
export function checkpointEntries(pickle: Buffer, storages: Readonly<Record<string, Buffer>> = {}): EntrySpec[] {
  return [
    { name: 'router/data.pkl', data: pickle },
    { name: 'router/byteorder', data: Buffer.from('little') },
    ...Object.entries(storages).map(([key, data]) => ({ name: `router/data/${key}`, data })),
    { name: 'router/version', data: Buffer.from('3\n') },
  ];
}
