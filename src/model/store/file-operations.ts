import { constants } from 'node:fs';
import { mkdir, open, readdir, realpath, rename, rmdir, stat, unlink, type FileHandle } from 'node:fs/promises';
import { flush } from '../flush.ts';

/** A file that is being written. */
export interface WritableFile {
  write(bytes: Uint8Array): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The file system as a folder's store uses it, one step at a time: a test ends the world at each of them. */
export interface FileOperations {
  makeFolder(path: string): Promise<void>;
  create(path: string): Promise<WritableFile>;
  rename(from: string, to: string): Promise<void>;
  /** Flushes a folder's entries to the disk. */
  syncFolder(path: string): Promise<void>;
  removeFile(path: string): Promise<void>;
  /** Only an empty one. */
  removeFolder(path: string): Promise<void>;
  list(path: string): Promise<readonly { readonly name: string; readonly isFolder: boolean }[]>;
  stat(path: string): Promise<{ readonly bytes: number; readonly writtenMs: number }>;
  openForReading(path: string): Promise<FileHandle>;
  realPath(path: string): Promise<string>;
}

export const fileOperations: FileOperations = {
  makeFolder: async (path) => {
    await mkdir(path, { recursive: true });
  },
  create: async (path) => {
    const handle = await open(path, 'wx');
    return { write: (bytes) => handle.writeFile(bytes), sync: () => handle.sync(), close: () => handle.close() };
  },
  rename,
  syncFolder: flush,
  removeFile: unlink,
  removeFolder: rmdir,
  list: async (path) =>
    (await readdir(path, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory() || entry.isFile())
      .map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() })),
  stat: async (path) => {
    const { size, mtimeMs } = await stat(path);
    return { bytes: size, writtenMs: mtimeMs };
  },
  // a link could lead anywhere, and a pipe would wait for ever
  openForReading: (path) => open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK),
  realPath: realpath,
};
