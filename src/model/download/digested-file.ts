import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rename, type FileHandle } from 'node:fs/promises';
import type { GrowingFile } from '../fetch/receive.ts';

const chunkBytes = 2 ** 20;

/** A file as it should be in the end. */
export interface ExpectedFile {
  readonly bytes: number;
  /** sha256 (64 hexadecimal digits), or git's object id (40). */
  readonly digest: string;
}

/**
 * A download on its way whose digest is computed as it grows, so that its bytes are read again only by a process that takes it up. Two writers
 * of one file, which a lock normally prevents, write the same bytes to the same places.
 */
export class DigestedFile implements GrowingFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #expected: ExpectedFile;
  readonly #changed: (bytes: number) => void;
  #hash: Hash;
  #bytes = 0;

  private constructor(path: string, handle: FileHandle, expected: ExpectedFile, changed: (bytes: number) => void) {
    this.#path = path;
    this.#handle = handle;
    this.#expected = expected;
    this.#changed = changed;
    this.#hash = begin(expected);
  }

  /**
   * Opens what there is of it, or begins it.
   *
   * @param changed - hears by how many bytes it has grown since it was opened; a negative number where bytes had to go
   */
  static async open(path: string, expected: ExpectedFile, changed: (bytes: number) => void, signal: AbortSignal): Promise<DigestedFile> {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o644);
    const file = new DigestedFile(path, handle, expected, changed);
    try {
      await file.#takeUp(signal);
      return file;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  async append(chunk: Uint8Array): Promise<void> {
    let written = 0;
    while (written < chunk.byteLength) {
      const { bytesWritten } = await this.#handle.write(chunk, written, chunk.byteLength - written, this.#bytes + written);
      written += bytesWritten;
    }
    this.#hash.update(chunk);
    this.#bytes += chunk.byteLength;
    this.#changed(chunk.byteLength);
  }

  async truncate(): Promise<void> {
    if (this.#bytes === 0) return;
    await this.#handle.truncate(0);
    this.#changed(-this.#bytes);
    this.#bytes = 0;
    this.#hash = begin(this.#expected);
  }

  /** Of what has arrived. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** Flushes it to the disk and puts it in its place. */
  async settle(target: string): Promise<void> {
    await this.#handle.sync();
    await rename(this.#path, target);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #takeUp(signal: AbortSignal): Promise<void> {
    const { size } = await this.#handle.stat();
    if (size > this.#expected.bytes) {
      await this.#handle.truncate(0);
      return;
    }
    const buffer = Buffer.allocUnsafe(chunkBytes);
    while (this.#bytes < size) {
      signal.throwIfAborted();
      const { bytesRead } = await this.#handle.read(buffer, 0, Math.min(chunkBytes, size - this.#bytes), this.#bytes);
      if (bytesRead === 0) return;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.#bytes += bytesRead;
    }
  }
}

/** Whether a file has these bytes. One that is not there has not. */
export async function isIntact(path: string, expected: ExpectedFile, signal: AbortSignal): Promise<boolean> {
  const handle = await open(path, 'r').catch(() => undefined);
  if (!handle) return false;
  try {
    const { size } = await handle.stat();
    if (size !== expected.bytes) return false;
    const hash = begin(expected);
    const buffer = Buffer.allocUnsafe(chunkBytes);
    for (let position = 0; position < size;) {
      signal.throwIfAborted();
      const { bytesRead } = await handle.read(buffer, 0, chunkBytes, position);
      if (bytesRead === 0) return false;
      hash.update(buffer.subarray(0, bytesRead));
      position += bytesRead;
    }
    return hash.digest('hex') === expected.digest;
  } finally {
    await handle.close();
  }
}

function begin({ bytes, digest }: ExpectedFile): Hash {
  return digest.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${bytes}\0`);
}
