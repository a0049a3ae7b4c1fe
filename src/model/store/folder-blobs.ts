import { createHash, randomBytes } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { openBundle } from '../bundle.ts';
import { hasCode } from '../fetch/partial-file.ts';
import { assertKey, maxSmallBytes, type BlobContent, type BlobInfo, type Blobs } from './blobs.ts';
import { StoreError } from './errors.ts';
import { fileOperations, type FileOperations } from './file-operations.ts';
import { chunksOfFile } from './file-chunks.ts';

/** Where files lie until they are whole. No key starts with a dot. */
const scratchFolder = '.writing';

export interface FolderBlobsOptions {
  /** What the folder is called where it is mounted, such as `pvc://claim/path`. @default its path */
  readonly address?: string;
  readonly operations?: FileOperations;
}

/**
 * A folder, such as a mounted claim, as a store. Each blob is a file, written beside, flushed, and renamed into its place. A network file system
 * must show one machine's new files to another's listing at once (NFS: mount with `lookupcache=none` or `actimeo=0` where several nodes write).
 */
export class FolderBlobs implements Blobs {
  readonly #root: string;
  readonly #address: string;
  readonly #files: FileOperations;

  constructor(root: string, { address = root, operations = fileOperations }: FolderBlobsOptions = {}) {
    this.#root = root;
    this.#address = address.replace(/\/+$/, '');
    this.#files = operations;
  }

  address(key: string): string {
    return `${this.#address}/${key}`;
  }

  async read(key: string): Promise<Uint8Array | undefined> {
    const path = await this.#existing(key);
    if (path === undefined) return undefined;
    try {
      const handle = await this.#files.openForReading(path);
      try {
        const { size } = await handle.stat();
        if (size > maxSmallBytes) throw this.#unusable(key, `is larger than ${maxSmallBytes} bytes`);
        return await handle.readFile();
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw this.#failure(key, error);
    }
  }

  async write(key: string, bytes: Uint8Array): Promise<void> {
    await this.#put(key, bytes.byteLength, [bytes]);
  }

  async upload(key: string, path: string, { sha256, bytes }: BlobContent, signal: AbortSignal): Promise<void> {
    if (await this.#has(key, sha256, bytes, signal)) return;
    const hash = createHash('sha256');
    let written = 0;
    await this.#put(
      key,
      bytes,
      chunksOfFile(path, signal),
      (chunk) => {
        written += chunk.byteLength;
        hash.update(chunk);
        return written <= bytes;
      },
      () => {
        if (written === bytes && hash.digest('hex') === sha256) return;
        throw new StoreError(
          'STORE_DIGEST_MISMATCH',
          path,
          'changed while it was stored',
          'make the bundle again, and let nobody write to it',
        );
      },
    );
  }

  async list(folder: string, signal: AbortSignal): Promise<readonly BlobInfo[]> {
    const start = folder.replace(/\/$/, '');
    assertKey(start);
    const found: BlobInfo[] = [];
    const walk = async (key: string): Promise<void> => {
      signal.throwIfAborted();
      const path = await this.#existing(key);
      const entries = path === undefined ? [] : await this.#files.list(path).catch(ignore([], 'ENOENT', 'ENOTDIR'));
      for (const { name, isFolder } of entries) {
        if (name.startsWith('.')) continue;
        const below = `${key}/${name}`;
        if (isFolder) await walk(below);
        else {
          const entry = await this.#files.stat(join(this.#root, below)).catch(ignore(undefined, 'ENOENT'));
          if (entry) found.push({ key: below, ...entry });
        }
      }
    };
    try {
      await walk(start);
    } catch (error) {
      throw this.#failure(start, error, signal);
    }
    return found;
  }

  async remove(key: string): Promise<void> {
    const path = await this.#existing(key);
    if (path === undefined) return;
    try {
      await this.#files.removeFile(path).catch(ignore(undefined, 'ENOENT'));
      await this.#files.syncFolder(dirname(path)).catch(ignore(undefined, 'ENOENT'));
      // of the bundle, then of nothing else: bundles/ and its like stay
      if (key.split('/').length > 2)
        await this.#files.removeFolder(dirname(path)).catch(ignore(undefined, 'ENOTEMPTY', 'EEXIST', 'ENOENT'));
    } catch (error) {
      throw this.#failure(key, error);
    }
  }

  async fetchBundle(folder: string, digest: string, _cacheFolder: string, signal: AbortSignal): Promise<string> {
    assertKey(folder);
    const found = await openBundle(join(this.#root, folder), signal);
    if (found.digest === digest) return found.folder;
    throw new StoreError('STORE_DIGEST_MISMATCH', this.address(folder), `is the bundle ${found.digest}`, 'store the bundle again');
  }

  async sweep(olderThanMs: number, signal: AbortSignal): Promise<void> {
    const scratch = join(this.#root, scratchFolder);
    for (const { name } of await this.#files.list(scratch).catch(ignore([], 'ENOENT'))) {
      signal.throwIfAborted();
      const path = join(scratch, name);
      const entry = await this.#files.stat(path).catch(ignore(undefined, 'ENOENT'));
      if (entry && entry.writtenMs < olderThanMs) await this.#files.removeFile(path).catch(ignore(undefined, 'ENOENT'));
    }
  }

  /** Writes beside, flushes, renames. `hear` may end it by false; `check` sees everything written and may throw. */
  async #put(
    key: string,
    bytes: number,
    chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    hear: (chunk: Uint8Array) => boolean = () => true,
    check: () => void = () => undefined,
  ): Promise<void> {
    assertKey(key);
    const scratch = join(this.#root, scratchFolder, randomBytes(12).toString('hex'));
    try {
      await this.#files.makeFolder(dirname(scratch));
      const { bavail, bsize } = await statfs(dirname(scratch));
      if (bavail * bsize < bytes) throw this.#noSpace(key);
      const file = await this.#files.create(scratch);
      try {
        for await (const chunk of chunks) {
          if (!hear(chunk)) break;
          await file.write(chunk);
        }
        check();
        await file.sync();
      } finally {
        await file.close();
      }
      await this.#intoPlace(scratch, join(this.#root, key), key);
    } catch (error) {
      await this.#files.removeFile(scratch).catch(() => undefined);
      throw this.#failure(key, error);
    }
  }

  async #intoPlace(scratch: string, path: string, key: string): Promise<void> {
    for (let tries = 0; ; tries++) {
      await this.#files.makeFolder(dirname(path));
      await this.#assertWithin(dirname(path), key);
      try {
        await this.#files.rename(scratch, path);
        break;
      } catch (error) {
        // whoever removed the last file of the folder removed the folder too
        if (!hasCode(error, 'ENOENT') || tries > 10) throw error;
      }
    }
    for (let folder = dirname(path); folder.length >= this.#root.length; folder = dirname(folder))
      await this.#files.syncFolder(folder).catch(ignore(undefined, 'ENOENT'));
  }

  async #has(key: string, sha256: string, bytes: number, signal: AbortSignal): Promise<boolean> {
    const path = await this.#existing(key);
    const entry = path === undefined ? undefined : await this.#files.stat(path).catch(ignore(undefined, 'ENOENT'));
    if (path === undefined || entry?.bytes !== bytes) return false;
    const hash = createHash('sha256');
    try {
      for await (const chunk of chunksOfFile(path, signal)) hash.update(chunk);
    } catch (error) {
      if (signal.aborted) throw error;
      return false;
    }
    return hash.digest('hex') === sha256;
  }

  /** The path of a key whose folder is there. */
  async #existing(key: string): Promise<string | undefined> {
    assertKey(key);
    const path = join(this.#root, key);
    return (await this.#assertWithin(dirname(path), key)) ? path : undefined;
  }

  /** Refuses a folder that a link leads out of the store; false: there is none. */
  async #assertWithin(folder: string, key: string): Promise<boolean> {
    const resolve = (path: string): Promise<string | undefined> => this.#files.realPath(path).catch(ignore(undefined, 'ENOENT', 'ENOTDIR'));
    const [real, root] = [await resolve(folder), await resolve(this.#root)];
    if (real === undefined || root === undefined) return false;
    if (real !== root && !real.startsWith(root + sep)) throw this.#unusable(key, 'lies behind a link that leads out of the store');
    return true;
  }

  #unusable(key: string, problem: string, cause?: unknown): StoreError {
    return new StoreError('STORE_UNUSABLE', this.address(key), problem, 'make it a folder that this program may read and write', cause);
  }

  #noSpace(key: string, cause?: unknown): StoreError {
    const fix = 'free some space or give it a larger volume';
    return new StoreError('STORE_NO_SPACE', this.address(key), `the volume at ${this.#root} has no room for it`, fix, cause);
  }

  #failure(key: string, error: unknown, signal?: AbortSignal): unknown {
    if (error instanceof StoreError || signal?.aborted === true) return error;
    if (hasCode(error, 'ENOSPC', 'EDQUOT')) return this.#noSpace(key, error);
    if (hasCode(error, 'EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EISDIR', 'ELOOP', 'EIO', 'ESTALE'))
      return this.#unusable(key, `cannot be used (${String(error)})`, error);
    return error;
  }
}

function ignore<T>(instead: T, ...codes: readonly string[]): (error: unknown) => T {
  return (error) => {
    if (hasCode(error, ...codes)) return instead;
    throw error;
  };
}
