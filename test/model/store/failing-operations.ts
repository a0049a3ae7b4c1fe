import { truncateSync } from 'node:fs';
import { fileOperations, type FileOperations } from '../../../src/model/store/file-operations.ts';

const nothing = (): Promise<void> => Promise.resolve();

/** Flushing takes milliseconds, and nobody here cuts the power but `FailingOperations`. */
export const unflushedOperations: FileOperations = {
  ...fileOperations,
  syncFolder: nothing,
  create: async (path) => ({ ...(await fileOperations.create(path)), sync: nothing }),
};

/** What every operation after the end of the world throws. */
export class Ended extends Error {}

/**
 * A file system that is lost at its `end`-th changing operation (from 0), of which the writing of bytes is done by half; nothing works from then
 * on. `lose()` then takes what a power cut takes: the bytes of files that were never flushed.
 */
export class FailingOperations implements FileOperations {
  /** Changing operations so far. */
  done = 0;
  readonly #end: number;
  /** Files that were written to since they were flushed, by where they are now. */
  readonly #unflushed = new Set<string>();

  constructor(end: number) {
    this.#end = end;
  }

  get ended(): boolean {
    return this.done > this.#end;
  }

  lose(): void {
    for (const path of this.#unflushed) truncateSync(path, 0);
  }

  async #change<T>(work: () => Promise<T>, half: () => Promise<unknown> = () => Promise.resolve()): Promise<T> {
    if (this.done++ < this.#end) return work();
    if (this.done === this.#end + 1) await half();
    throw new Ended();
  }

  #look<T>(work: () => Promise<T>): Promise<T> {
    return this.ended ? Promise.reject(new Ended()) : work();
  }

  makeFolder(path: string): Promise<void> {
    return this.#change(() => fileOperations.makeFolder(path));
  }

  async create(path: string): Promise<Awaited<ReturnType<FileOperations['create']>>> {
    const file = await this.#change(() => fileOperations.create(path));
    return {
      write: (bytes) => {
        this.#unflushed.add(path);
        return this.#change(
          () => file.write(bytes),
          () => file.write(bytes.subarray(0, bytes.length >> 1)),
        );
      },
      sync: async () => {
        await this.#change(nothing);
        this.#unflushed.delete(path);
      },
      // a process that ends closes its files too
      close: () => file.close(),
    };
  }

  rename(from: string, to: string): Promise<void> {
    return this.#change(async () => {
      await fileOperations.rename(from, to);
      if (this.#unflushed.delete(from)) this.#unflushed.add(to);
    });
  }

  syncFolder(): Promise<void> {
    return this.#change(nothing);
  }

  removeFile(path: string): Promise<void> {
    return this.#change(async () => {
      await fileOperations.removeFile(path);
      this.#unflushed.delete(path);
    });
  }

  removeFolder(path: string): Promise<void> {
    return this.#change(() => fileOperations.removeFolder(path));
  }

  list(path: string): ReturnType<FileOperations['list']> {
    return this.#look(() => fileOperations.list(path));
  }

  stat(path: string): ReturnType<FileOperations['stat']> {
    return this.#look(() => fileOperations.stat(path));
  }

  openForReading(path: string): ReturnType<FileOperations['openForReading']> {
    return this.#look(() => fileOperations.openForReading(path));
  }

  realPath(path: string): Promise<string> {
    return this.#look(() => fileOperations.realPath(path));
  }
}
