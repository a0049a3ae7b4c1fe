import { constants, type BigIntStats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { CheckpointError } from './errors.ts';

/** Bytes asked of the file system at once; node refuses 2 GiB and more. */
const readBytes = 2 ** 26;
/** Bytes that `peek` reads ahead: the headers of some hundred small entries. */
const windowBytes = 2 ** 16;

/**
 * The file, opened once: everything that is checked and everything that is read comes from the same handle, and `assertUnchanged` after a
 * read tells whether what was checked is what was read.
 */
export class CheckpointFile {
  readonly path: string;
  readonly size: number;
  readonly #handle: FileHandle;
  readonly #opened: BigIntStats;
  #window: { readonly start: number; readonly bytes: Buffer } = { start: 0, bytes: Buffer.alloc(0) };
  #closed = false;

  private constructor(path: string, handle: FileHandle, opened: BigIntStats) {
    this.path = path;
    this.size = Number(opened.size);
    this.#handle = handle;
    this.#opened = opened;
  }

  /** Throws `CHECKPOINT_UNREADABLE` unless `path` is a regular file or a link to one. */
  static async open(path: string): Promise<CheckpointFile> {
    let handle: FileHandle | undefined;
    try {
      // without O_NONBLOCK, opening a named pipe waits for a writer
      handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const stats = await handle.stat({ bigint: true });
      if (stats.isFile()) return new CheckpointFile(path, handle, stats);
    } catch (cause) {
      await handle?.close();
      throw new CheckpointError('CHECKPOINT_UNREADABLE', path, 'the checkpoint cannot be opened', { cause });
    }
    await handle.close();
    throw new CheckpointError('CHECKPOINT_UNREADABLE', path, 'is not a regular file');
  }

  /** The bytes from `position` on, in a buffer of their own. */
  async read(position: number, length: number): Promise<Buffer> {
    let bytes: Buffer;
    try {
      bytes = Buffer.from(new ArrayBuffer(length));
    } catch (cause) {
      throw new CheckpointError('CHECKPOINT_LIMIT', this.path, `no memory for ${length} bytes`, { cause });
    }
    await this.readInto(bytes, position);
    return bytes;
  }

  /** As `read`, for small pieces that lie near one another: a view of what was read ahead. */
  async peek(position: number, length: number): Promise<Buffer> {
    let { start, bytes } = this.#window;
    if (position < start || position + length > start + bytes.length) {
      start = position;
      bytes = await this.read(position, Math.max(length, Math.min(windowBytes, this.size - position)));
      this.#window = { start, bytes };
    }
    return bytes.subarray(position - start, position - start + length);
  }

  /** Fills `bytes` from `position` on. */
  async readInto(bytes: Buffer, position: number): Promise<void> {
    if (this.#closed) throw new CheckpointError('CHECKPOINT_UNREADABLE', this.path, 'was closed', { fix: 'read tensors before close()' });
    let read = 0;
    try {
      while (read < bytes.length) {
        const { bytesRead } = await this.#handle.read(bytes, read, Math.min(readBytes, bytes.length - read), position + read);
        if (bytesRead === 0) break;
        read += bytesRead;
      }
    } catch (cause) {
      throw new CheckpointError('CHECKPOINT_UNREADABLE', this.path, `cannot be read at byte ${position + read}`, { cause });
    }
    if (read < bytes.length) throw new CheckpointError('CHECKPOINT_CHANGED', this.path, `now ends after ${position + read} bytes`);
  }

  /** Throws `CHECKPOINT_CHANGED` when the file's size or times are no longer those it was opened with. */
  async assertUnchanged(): Promise<void> {
    const { size, mtimeNs, ctimeNs } = await this.#handle.stat({ bigint: true });
    const before = this.#opened;
    if (size !== before.size || mtimeNs !== before.mtimeNs || ctimeNs !== before.ctimeNs)
      throw new CheckpointError('CHECKPOINT_CHANGED', this.path, 'was changed while it was read');
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#handle.close();
  }
}
