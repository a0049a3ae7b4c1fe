import { readDirectory, type DirectoryEntry } from './archive-directory.ts';
import { CheckpointError, quoted } from './errors.ts';
import type { CheckpointFile } from './checkpoint-file.ts';
import type { CheckpointLimits } from './limits.ts';

/** One entry of the archive: stored bytes. */
export interface ArchiveEntry {
  /** Below the archive's root folder: `data.pkl`, `data/0`, … */
  readonly name: string;
  /** Position of its first byte in the file. */
  readonly offset: number;
  readonly size: number;
  readonly crc: number;
}

/** What torch writes, over all its versions with this format. */
const known = /^(data\.pkl|version|byteorder|data\/\d+|\.format_version|\.storage_alignment|\.data\/serialization_id)$/;
const localHeaderBytes = 30;
/** Bit 3: checksum and sizes follow the data. Bit 11: the name is UTF-8. */
const hasDescriptor = 8;
const allowedFlags = 0x0808;

/** Splits `root/name`; torch's root is the file's name without `.pt`, or `archive`. */
function splitName(path: string, name: string): readonly [root: string, rest: string] {
  const parts = name.split('/');
  const odd = parts.length < 2 || parts.some((part) => part === '' || part === '.' || part === '..') || /[\\\p{Cc}]/u.test(name);
  if (odd) throw new CheckpointError('CHECKPOINT_ARCHIVE', path, `the archive entry ${quoted(name)} has a path that torch does not write`);
  return [parts[0] ?? '', parts.slice(1).join('/')];
}

/** Throws unless the entry's bytes are just there: torch neither compresses nor encrypts. */
function assertStored(path: string, { name, flags, method, size, packed }: DirectoryEntry): void {
  const refuse = (problem: string) => new CheckpointError('CHECKPOINT_ARCHIVE', path, `the archive entry ${quoted(name)} ${problem}`);
  if ((flags & 1) !== 0) throw refuse('is encrypted');
  if ((flags & ~allowedFlags) !== 0) throw refuse(`has flags 0x${flags.toString(16)}`);
  if (method !== 0) throw refuse('is compressed');
  if (size !== packed) throw refuse(`claims ${size} bytes from ${packed} stored ones`);
}

function named(path: string, directory: readonly DirectoryEntry[]): Map<string, DirectoryEntry> {
  const entries = new Map<string, DirectoryEntry>();
  let root: string | undefined;
  for (const entry of directory) {
    const [folder, name] = splitName(path, entry.name);
    root ??= folder;
    if (folder !== root)
      throw new CheckpointError(
        'CHECKPOINT_ARCHIVE',
        path,
        `the archive entry ${quoted(entry.name)} is outside the folder ${quoted(root)}`,
      );
    if (name === 'constants.pkl' || name.startsWith('code/'))
      throw new CheckpointError('CHECKPOINT_FORMAT', path, `holds TorchScript code (archive entry ${quoted(name)})`);
    if (!known.test(name))
      throw new CheckpointError('CHECKPOINT_ARCHIVE', path, `the archive entry ${quoted(entry.name)} is not one that torch writes`);
    assertStored(path, entry);
    if (entries.has(name)) throw new CheckpointError('CHECKPOINT_ARCHIVE', path, `two archive entries are called ${quoted(entry.name)}`);
    entries.set(name, entry);
  }
  return entries;
}

/** Bytes of the signed data descriptor after an entry's data; its sizes have 8 bytes where the entry has a zip64 field. */
async function descriptorBytes(file: CheckpointFile, entry: DirectoryEntry, dataEnd: number, space: number): Promise<number> {
  if ((entry.flags & hasDescriptor) === 0) return 0;
  const bytes = await file.peek(dataEnd, Math.min(24, space));
  const is = (length: number, size: () => number, packed: () => number) =>
    bytes.length >= length &&
    bytes.readUInt32LE(0) === 0x08074b50 &&
    bytes.readUInt32LE(4) === entry.crc &&
    size() === entry.size &&
    packed() === entry.size;
  const wide = (at: number) => () => Number(bytes.readBigUInt64LE(at));
  const narrow = (at: number) => () => bytes.readUInt32LE(at);
  if (entry.zip64 && is(24, wide(8), wide(16))) return 24;
  if (is(16, narrow(8), narrow(12))) return 16;
  throw new CheckpointError(
    'CHECKPOINT_ARCHIVE',
    file.path,
    `the archive entry ${quoted(entry.name)} is not followed by its checksum and size`,
  );
}

/**
 * Checks an entry's local header against the directory; `end`: where the next entry or the directory begins. Nothing may lie between an
 * entry and the next.
 */
async function locate(file: CheckpointFile, name: string, entry: DirectoryEntry, end: number): Promise<ArchiveEntry> {
  const disagrees = (what: string) =>
    new CheckpointError(
      'CHECKPOINT_ARCHIVE',
      file.path,
      `the archive entry ${quoted(entry.name)} and the directory disagree about ${what}`,
    );
  const room = end - entry.headerOffset;
  if (room < localHeaderBytes + entry.nameBytes.length + entry.size) throw disagrees('its place: it overlaps with what follows');
  const header = await file.peek(entry.headerOffset, localHeaderBytes + entry.nameBytes.length);
  if (header.readUInt32LE(0) !== 0x04034b50) throw disagrees('its place: there is no header');
  if (header.readUInt16LE(6) !== entry.flags) throw disagrees('its flags');
  if (header.readUInt16LE(8) !== entry.method) throw disagrees('its compression');
  const sameName = header.readUInt16LE(26) === entry.nameBytes.length && header.subarray(localHeaderBytes).equals(entry.nameBytes);
  if (!sameName) throw disagrees('its name');
  const streamed = (entry.flags & hasDescriptor) !== 0;
  const agrees = (value: number, expected: number) => value === expected || (streamed && value === 0);
  if (!agrees(header.readUInt32LE(14), entry.crc)) throw disagrees('its checksum');
  for (const at of [18, 22]) {
    const size = header.readUInt32LE(at);
    if (!agrees(size, entry.size) && !(size === 0xffffffff && entry.zip64)) throw disagrees('its size');
  }
  const offset = entry.headerOffset + header.length + header.readUInt16LE(28);
  const dataEnd = offset + entry.size;
  if (dataEnd > end) throw disagrees('its place: it overlaps with what follows');
  const tail = dataEnd + (await descriptorBytes(file, entry, dataEnd, end - dataEnd));
  if (tail !== end) throw disagrees(`its end: ${end - tail} bytes follow that belong to no entry`);
  return { name, offset, size: entry.size, crc: entry.crc };
}

/**
 * The entries of a checkpoint's zip archive, by name below its root folder, in the order they lie in the file.
 *
 * Written here and not taken from a library because strictness is the point: what torch writes is a narrow subset of zip (everything
 * stored, entries end to end from byte 0, the directory right behind them, no comment), and everything outside of it is refused, so that no
 * two readers can see two different checkpoints in one file. Only headers are read. Throws `CheckpointError`.
 */
export async function readArchive(file: CheckpointFile, limits: CheckpointLimits): Promise<ReadonlyMap<string, ArchiveEntry>> {
  const { entries: directory, offset: directoryOffset } = await readDirectory(file, limits);
  const inFileOrder = [...named(file.path, directory)].sort(([, a], [, b]) => a.headerOffset - b.headerOffset);
  const first = inFileOrder[0]?.[1];
  if (first !== undefined && first.headerOffset !== 0)
    throw new CheckpointError('CHECKPOINT_ARCHIVE', file.path, `${first.headerOffset} bytes precede the first archive entry`);
  const entries = new Map<string, ArchiveEntry>();
  for (const [index, [name, entry]] of inFileOrder.entries()) {
    const end = inFileOrder[index + 1]?.[1].headerOffset ?? directoryOffset;
    entries.set(name, await locate(file, name, entry, end));
  }
  return entries;
}
