import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { CheckpointError, quoted } from './errors.ts';
import type { ArchiveEntry } from './archive.ts';
import type { CheckpointFile } from './checkpoint-file.ts';

const chunkBytes = 2 ** 20;

function damaged(path: string, name: string): CheckpointError {
  return new CheckpointError('CHECKPOINT_DAMAGED', path, `the archive entry ${quoted(name)} contradicts its checksum`);
}

/** All bytes of a small entry, checked against its checksum. Throws `CHECKPOINT_DAMAGED`. */
export async function readEntry(file: CheckpointFile, entry: ArchiveEntry): Promise<Buffer> {
  const bytes = await file.read(entry.offset, entry.size);
  if (crc32(bytes) !== entry.crc) throw damaged(file.path, entry.name);
  return bytes;
}

/**
 * sha256 (hex) of the whole file, in one pass that also checks every entry against its checksum; `entries` in the order of the file.
 * Throws `CHECKPOINT_DAMAGED` naming the entry, `CHECKPOINT_CHANGED` when the file was written to meanwhile.
 */
export async function digestFile(file: CheckpointFile, entries: Iterable<ArchiveEntry>): Promise<string> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, file.size));
  const remaining = [...entries];
  let index = 0;
  let crc = 0;
  for (let start = 0; start < file.size; start += buffer.length) {
    const chunk = buffer.subarray(0, Math.min(buffer.length, file.size - start));
    await file.readInto(chunk, start);
    hash.update(chunk);
    for (let entry = remaining[index]; entry !== undefined && entry.offset <= start + chunk.length; entry = remaining[index]) {
      const end = entry.offset + entry.size;
      crc = crc32(chunk.subarray(Math.max(0, entry.offset - start), Math.max(0, end - start)), crc);
      if (end > start + chunk.length) break;
      if (crc !== entry.crc) throw damaged(file.path, entry.name);
      crc = 0;
      index++;
    }
  }
  await file.assertUnchanged();
  return hash.digest('hex');
}
