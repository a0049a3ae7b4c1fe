import { CheckpointError, quoted } from './errors.ts';
import type { CheckpointFile } from './checkpoint-file.ts';
import type { CheckpointLimits } from './limits.ts';

/** One entry as the archive's central directory has it. */
export interface DirectoryEntry {
  readonly name: string;
  readonly nameBytes: Buffer;
  readonly flags: number;
  readonly method: number;
  readonly crc: number;
  readonly size: number;
  /** Bytes that are said to be stored. */
  readonly packed: number;
  /** Position of its local header. */
  readonly headerOffset: number;
  /** Whether it has a field of 64-bit sizes. */
  readonly zip64: boolean;
}

interface Directory {
  readonly entries: readonly DirectoryEntry[];
  readonly offset: number;
}

const endBytes = 22;
const locatorBytes = 20;
const zip64EndBytes = 56;
const entryBytes = 46;
/** An entry's fixed part, and a name and fields longer than torch's longest. */
const maxBytesPerEntry = 1024;

/** What the file is when it is not a zip archive, from its first bytes. */
async function refuseOtherFormat(file: CheckpointFile): Promise<never> {
  const start = await file.read(0, Math.min(file.size, 300));
  const head = start.toString('latin1');
  const refuse = (problem: string, fix?: string) =>
    new CheckpointError('CHECKPOINT_FORMAT', file.path, problem, fix === undefined ? {} : { fix });
  if (head.startsWith('PK\x03\x04'))
    throw new CheckpointError('CHECKPOINT_DAMAGED', file.path, 'a zip archive that does not end with its directory');
  if (head.startsWith('\x80')) throw refuse("has torch's format of before 1.6 (a bare pickle)");
  if (head.slice(257, 262) === 'ustar') throw refuse("has torch's first format (a tar archive)");
  if (head.startsWith('version https://git-lfs')) throw refuse('is a Git LFS pointer, not the checkpoint', 'download the file itself');
  if (/^.{8}\{/s.test(head)) throw refuse('has the safetensors format', 'take the .pt file that upstream wrote');
  throw refuse('is not a torch checkpoint (a zip archive)');
}

/** Reads the end records: where the directory is and how many entries it has. */
async function readEnd(file: CheckpointFile): Promise<{ readonly count: number; readonly offset: number; readonly bytes: number }> {
  const length = Math.min(file.size, endBytes + locatorBytes + zip64EndBytes);
  const tail = await file.read(file.size - length, length);
  const end = tail.subarray(-endBytes);
  if (end.length < endBytes || end.readUInt32LE(0) !== 0x06054b50 || end.readUInt16LE(20) !== 0) return refuseOtherFormat(file);
  const malformed = (what: string) => new CheckpointError('CHECKPOINT_ARCHIVE', file.path, `the archive's end record ${what}`);
  if (end.readUInt32LE(4) !== 0) throw malformed('speaks of several disks');
  if (end.readUInt16LE(8) !== end.readUInt16LE(10)) throw malformed('has two numbers of entries');
  const narrow = { count: end.readUInt16LE(10), bytes: end.readUInt32LE(12), offset: end.readUInt32LE(16) };
  const locator = tail.subarray(-endBytes - locatorBytes, -endBytes);
  const hasZip64 = locator.length === locatorBytes && locator.readUInt32LE(0) === 0x07064b50;
  if (!hasZip64) {
    if (narrow.offset + narrow.bytes !== file.size - endBytes) throw malformed('does not follow the directory');
    return narrow;
  }
  const record = tail.subarray(0, zip64EndBytes);
  const position = file.size - length;
  const sound =
    tail.length === endBytes + locatorBytes + zip64EndBytes &&
    locator.readUInt32LE(4) === 0 &&
    Number(locator.readBigUInt64LE(8)) === position &&
    locator.readUInt32LE(16) === 1 &&
    record.readUInt32LE(0) === 0x06064b50 &&
    Number(record.readBigUInt64LE(4)) === zip64EndBytes - 12 &&
    record.readBigUInt64LE(16) === 0n &&
    record.readBigUInt64LE(24) === record.readBigUInt64LE(32);
  if (!sound) throw malformed('has a 64-bit form that is malformed');
  const wide = {
    count: Number(record.readBigUInt64LE(32)),
    bytes: Number(record.readBigUInt64LE(40)),
    offset: Number(record.readBigUInt64LE(48)),
  };
  const same = (value: number, full: number, most: number) => value === full || (value === most && full >= most);
  if (
    !same(narrow.count, wide.count, 0xffff) ||
    !same(narrow.bytes, wide.bytes, 0xffffffff) ||
    !same(narrow.offset, wide.offset, 0xffffffff)
  )
    throw malformed('and its 64-bit form disagree');
  if (wide.offset + wide.bytes !== position) throw malformed('does not follow the directory');
  return wide;
}

/** The 64-bit values of an entry's zip64 field, or undefined when it has none; null: the fields are malformed. */
function zip64Field(extra: Buffer): Buffer | undefined | null {
  let found: Buffer | undefined;
  for (let at = 0; at < extra.length;) {
    if (at + 4 > extra.length) return null;
    const next = at + 4 + extra.readUInt16LE(at + 2);
    if (next > extra.length) return null;
    if (extra.readUInt16LE(at) === 1) {
      if (found !== undefined) return null;
      found = extra.subarray(at + 4, next);
    }
    at = next;
  }
  return found;
}

function parseEntry(path: string, bytes: Buffer, nameLength: number): DirectoryEntry {
  const nameBytes = bytes.subarray(entryBytes, entryBytes + nameLength);
  const name = nameBytes.toString('utf8');
  const refuse = (problem: string) => new CheckpointError('CHECKPOINT_ARCHIVE', path, `the archive entry ${quoted(name)} ${problem}`);
  if (!Buffer.from(name).equals(nameBytes)) throw refuse('has a name that is not UTF-8');
  const flags = bytes.readUInt16LE(8);
  const method = bytes.readUInt16LE(10);
  if (bytes.readUInt16LE(32) !== 0 || bytes.readUInt16LE(34) !== 0) throw refuse('has a comment or is on another disk');
  const field = zip64Field(bytes.subarray(entryBytes + nameLength));
  if (field === null) throw refuse('has malformed extra fields');
  let at = 0;
  const wide = (value: number) => {
    if (value !== 0xffffffff || field === undefined) return value;
    at += 8;
    if (at > field.length) throw refuse('has a zip64 field that is too short');
    return Number(field.readBigUInt64LE(at - 8));
  };
  const size = wide(bytes.readUInt32LE(24));
  const packed = wide(bytes.readUInt32LE(20));
  const headerOffset = wide(bytes.readUInt32LE(42));
  return { name, nameBytes, flags, method, crc: bytes.readUInt32LE(16), size, packed, headerOffset, zip64: field !== undefined };
}

/** Reads the archive's central directory. Throws `CheckpointError` when the file is no such archive or the directory is not one torch writes. */
export async function readDirectory(file: CheckpointFile, limits: CheckpointLimits): Promise<Directory> {
  const { count, offset, bytes: length } = await readEnd(file);
  const limit = (problem: string) => new CheckpointError('CHECKPOINT_LIMIT', file.path, problem);
  if (count > limits.maxEntries) throw limit(`the archive has ${count} entries, more than ${limits.maxEntries}`);
  if (length > count * maxBytesPerEntry) throw limit(`the archive's directory has ${length} bytes for ${count} entries`);
  const directory = await file.read(offset, length);
  const malformed = (at: number) =>
    new CheckpointError('CHECKPOINT_ARCHIVE', file.path, `the archive's directory is malformed at byte ${offset + at}`);
  const entries: DirectoryEntry[] = [];
  let at = 0;
  while (at < length) {
    if (at + entryBytes > length || directory.readUInt32LE(at) !== 0x02014b50) throw malformed(at);
    const nameLength = directory.readUInt16LE(at + 28);
    const next = at + entryBytes + nameLength + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
    if (next > length) throw malformed(at);
    entries.push(parseEntry(file.path, directory.subarray(at, next), nameLength));
    at = next;
  }
  if (entries.length !== count) throw malformed(length);
  for (const { name, size, headerOffset } of entries) {
    if (size > offset || headerOffset >= offset)
      throw new CheckpointError('CHECKPOINT_ARCHIVE', file.path, `the archive entry ${quoted(name)} claims bytes beyond the file's`);
  }
  return { entries, offset };
}
