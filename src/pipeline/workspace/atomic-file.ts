import { createHash, randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { onDisk, type FileSystem, type WritableFile } from './file-system.ts';

/** Ends the names of files under way. */
export const temporaryEnding = '.tmp';

/** A file that is there whole or not at all: written under another name, made durable, then put in its place. */
export class AtomicFile {
  readonly path: string;
  readonly #fileSystem: FileSystem;
  readonly #temporary: string;
  readonly #file: WritableFile;
  readonly #hash = createHash('sha256');
  #bytes = 0;
  #open = true;

  private constructor(fileSystem: FileSystem, path: string, temporary: string, file: WritableFile) {
    this.#fileSystem = fileSystem;
    this.path = path;
    this.#temporary = temporary;
    this.#file = file;
  }

  /**
   * The folder must exist.
   *
   * @param owner begins the temporary name's own part, where several write the same file and each removes what it has left
   */
  static async create(fileSystem: FileSystem, path: string, owner = ''): Promise<AtomicFile> {
    // A name of its own: another pod of the same shard may still be at work.
    const temporary = `${path}.${owner}${randomBytes(6).toString('hex')}${temporaryEnding}`;
    return new AtomicFile(fileSystem, path, temporary, await onDisk(path, () => fileSystem.create(temporary)));
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @throws PipelineError */
  async write(bytes: Uint8Array): Promise<void> {
    await onDisk(this.path, () => this.#file.write(bytes));
    this.#hash.update(bytes);
    this.#bytes += bytes.byteLength;
  }

  /** Puts it in its place, over what is there; the name is durable once the folder has been synchronised. @returns its sha256 */
  async complete(): Promise<string> {
    await onDisk(this.path, async () => {
      await this.#file.sync();
      await this.#close();
      await this.#fileSystem.rename(this.#temporary, this.path);
    });
    return this.#hash.digest('hex');
  }

  /** Removes it, unless it is complete. Never fails: what is left is removed by the next run. */
  async discard(): Promise<void> {
    await this.#close().catch(() => undefined);
    await this.#fileSystem.remove(this.#temporary).catch(() => undefined);
  }

  async #close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#file.close();
  }
}

/** Writes a small file, whole or not at all, and durably. @throws PipelineError */
export async function writeWhole(fileSystem: FileSystem, path: string, text: string, owner?: string): Promise<void> {
  const file = await AtomicFile.create(fileSystem, path, owner);
  try {
    await file.write(Buffer.from(text));
    await file.complete();
  } finally {
    await file.discard();
  }
  await onDisk(path, () => fileSystem.syncFolder(dirname(path)));
}
