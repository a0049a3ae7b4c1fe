import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A download that nobody has written to for so long has no writer: a live one gives up before. */
const abandonedMs = 60_000;

interface Found {
  readonly path: string;
  readonly validator: string;
  readonly left: boolean;
  readonly bytes: number;
  readonly changedMs: number;
}

/**
 * A download on its way, `<key>.<validator>.<random>.part`, appended to by one writer. A writer that fails leaves it as `.left`, which the next
 * one takes over by renaming. What a killed writer leaves is still a `.part`, as that of a live one in another process or container is: since
 * both only grow, the next writer goes on from a copy, and no lock is needed that a killed one could hold.
 */
export class PartialFile {
  /** What the server called this version of the file; '' for bytes that no other version could have. */
  readonly validator: string;
  readonly #path: string;
  readonly #handle: FileHandle;
  /** Downloads of the same bytes that were there when this one went on: of killed writers, or of live ones. */
  readonly #others: readonly Found[];
  #bytes: number;
  #settled = false;

  private constructor(path: string, validator: string, handle: FileHandle, bytes: number, others: readonly Found[] = []) {
    this.#path = path;
    this.validator = validator;
    this.#handle = handle;
    this.#bytes = bytes;
    this.#others = others;
  }

  /** What is there of an earlier download, the longest first. `key`: a file name without dots. */
  static async resume(folder: string, key: string): Promise<PartialFile | undefined> {
    const found = await list(folder, key);
    for (const candidate of found) {
      const path = partPath(folder, key, candidate.validator);
      const free = isFree(candidate);
      try {
        if (free) await rename(candidate.path, path);
        else await copyFile(candidate.path, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      } catch (error) {
        if (!free) await rm(path, { force: true });
        // another writer was faster
        if (hasCode(error, 'ENOENT')) continue;
        throw error;
      }
      for (const other of found) if (other !== candidate && isFree(other)) await rm(other.path, { force: true });
      const handle = await open(path, 'r+');
      return new PartialFile(path, candidate.validator, handle, (await handle.stat()).size, found);
    }
    return undefined;
  }

  static async create(folder: string, key: string, validator: string): Promise<PartialFile> {
    await mkdir(folder, { recursive: true });
    const path = partPath(folder, key, validator);
    return new PartialFile(path, validator, await open(path, 'wx+'), 0);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** For reading. */
  get handle(): FileHandle {
    return this.#handle;
  }

  async append(chunk: Uint8Array): Promise<void> {
    for (let written = 0; written < chunk.byteLength;) {
      const { bytesWritten } = await this.#handle.write(chunk, written, chunk.byteLength - written, this.#bytes);
      written += bytesWritten;
      this.#bytes += bytesWritten;
    }
  }

  async truncate(): Promise<void> {
    await this.#handle.truncate(0);
    this.#bytes = 0;
  }

  /** Flushes it to the disk and puts it in its place, over what is there. */
  async complete(target: string): Promise<void> {
    await this.#handle.sync();
    await mkdir(dirname(target), { recursive: true });
    try {
      await rename(this.#path, target);
    } catch (error) {
      // a writer that went on from a copy took this one for dead, and has finished
      if (!hasCode(error, 'ENOENT')) throw error;
      await stat(target);
    }
    this.#settled = true;
    await this.#handle.close();
    await this.#removeOthers();
  }

  /** Leaves it to the next writer, unless it has been completed or discarded. */
  async leave(): Promise<void> {
    if (this.#settled) return;
    this.#settled = true;
    await this.#handle.close();
    if (this.#bytes === 0) await rm(this.#path, { force: true });
    else await rename(this.#path, this.#path.replace(/part$/, 'left')).catch(() => undefined);
  }

  async discard(): Promise<void> {
    if (this.#settled) return;
    this.#settled = true;
    await this.#handle.close();
    await rm(this.#path, { force: true });
    await this.#removeOthers();
  }

  async #removeOthers(): Promise<void> {
    for (const other of this.#others) if (await isUnchanged(other)) await rm(other.path, { force: true });
  }
}

/** Whether it has no writer for sure. */
function isFree({ left, changedMs }: Found): boolean {
  return left || Date.now() - changedMs > abandonedMs;
}

/** Removes downloads that nobody has gone on with for `maxAgeMs`. */
export async function removeOldPartials(folder: string, maxAgeMs: number): Promise<void> {
  for (const { path, changedMs } of await list(folder, '')) if (Date.now() - changedMs > maxAgeMs) await rm(path, { force: true });
}

/** Whether its writer is gone, or has at least stood still since it was copied; then that one will find the finished file. */
async function isUnchanged({ path, bytes, changedMs }: Found): Promise<boolean> {
  const now = await stat(path).catch(() => undefined);
  return now?.size === bytes && now.mtimeMs === changedMs;
}

/** Of one key, or with '' of all, the longest first. */
async function list(folder: string, key: string): Promise<readonly Found[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  });
  const found: Found[] = [];
  for (const name of names) {
    const [of, validator, random, ending, more] = name.split('.');
    const mine = (key === '' || of === key) && random !== undefined && (ending === 'part' || ending === 'left') && more === undefined;
    const entry = mine ? await stat(join(folder, name)).catch(() => undefined) : undefined;
    if (!entry || validator === undefined) continue;
    const tag = Buffer.from(validator, 'base64url').toString();
    found.push({ path: join(folder, name), validator: tag, left: ending === 'left', bytes: entry.size, changedMs: entry.mtimeMs });
  }
  return found.sort((a, b) => b.bytes - a.bytes);
}

function partPath(folder: string, key: string, validator: string): string {
  return join(folder, `${key}.${Buffer.from(validator).toString('base64url')}.${randomBytes(6).toString('hex')}.part`);
}

export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}
