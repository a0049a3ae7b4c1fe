import { mkdir, open, readFile, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { PipelineError } from '../errors.ts';

/** What a workspace does to its disk: few operations, so that a test can fail or end the process at each of them. */
export interface FileSystem {
  /** With the folders above it. */
  makeFolder(path: string): Promise<void>;
  /** Names in a folder, sorted; none when it is missing. */
  list(path: string): Promise<readonly string[]>;
  /** Undefined when it is missing. */
  read(path: string): Promise<Buffer | undefined>;
  /** Bytes of a file; undefined when it is missing. */
  size(path: string): Promise<number | undefined>;
  /** When a file or folder was changed last, in milliseconds since 1970; undefined when it is missing. */
  modifiedMs(path: string): Promise<number | undefined>;
  /** Says that a file was changed now; makes an empty one where it is missing. */
  touch(path: string): Promise<void>;
  /** A new file to write to; it must not exist. */
  create(path: string): Promise<WritableFile>;
  /** Over what is there. */
  rename(from: string, to: string): Promise<void>;
  /** A file or folder, if it is there. */
  remove(path: string): Promise<void>;
  /** Makes new names in a folder durable. */
  syncFolder(path: string): Promise<void>;
}

export interface WritableFile {
  /** All of it, behind what was written before. */
  write(bytes: Uint8Array): Promise<void>;
  /** Makes what was written durable. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The process's disk. */
export const diskFileSystem: FileSystem = {
  async makeFolder(path) {
    await mkdir(path, { recursive: true });
  },
  list: async (path) => (await orMissing(readdir(path)))?.sort() ?? [],
  read: (path) => orMissing(readFile(path)),
  size: async (path) => (await orMissing(stat(path)))?.size,
  modifiedMs: async (path) => (await orMissing(stat(path)))?.mtimeMs,
  async touch(path) {
    await (await open(path, 'a')).close();
    const now = new Date();
    await utimes(path, now, now);
  },
  async create(path) {
    const handle = await open(path, 'wx');
    return {
      async write(bytes) {
        for (let written = 0; written < bytes.byteLength;)
          written += (await handle.write(bytes, written, bytes.byteLength - written)).bytesWritten;
      },
      sync: () => handle.sync(),
      close: () => handle.close(),
    };
  },
  rename: (from, to) => rename(from, to),
  remove: (path) => rm(path, { recursive: true, force: true }),
  async syncFolder(path) {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};

async function orMissing<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** A file system's error as the pipeline's, naming the file; an error that is one of the pipeline's already stays as it is. */
export function diskError(cause: unknown, file: string): PipelineError {
  if (cause instanceof PipelineError) return cause;
  const said = cause instanceof Error ? cause.message : String(cause);
  const code = errorCode(cause);
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new PipelineError(
      'PIPELINE_NO_SPACE',
      'the workspace is full',
      'enlarge its claim or remove old steps, then run the step again',
      {
        file,
        cause,
      },
    );
  return new PipelineError('PIPELINE_WORKSPACE', `the workspace fails: ${said}`, "check the claim's volume and its permissions", {
    file,
    cause,
  });
}

/** Runs what touches the disk. @throws PipelineError `PIPELINE_NO_SPACE` | `PIPELINE_WORKSPACE` naming the file */
export async function onDisk<T>(file: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw diskError(error, file);
  }
}
