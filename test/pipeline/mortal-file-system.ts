import { existsSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { diskFileSystem, type FileSystem, type WritableFile } from '../../src/pipeline/workspace/file-system.ts';

/** What a process sees after its end: nothing works any more. */
export class Death extends Error {
  override readonly name = 'Death';
}

export type Fate =
  /** The process is killed at this operation, counted from 0; what it has written stays. */
  | { readonly killedAt: number }
  /** The machine loses power at this operation: what was not synchronised is lost. */
  | { readonly powerLostAt: number }
  /** So many bytes can be written. */
  | { readonly capacityBytes: number };

/** The disk, for a process or a machine that ends at a given operation, or a volume that fills. */
export class MortalFileSystem implements FileSystem {
  readonly #fate: Fate;
  /** Operations that have changed something, or tried to. */
  operations = 0;
  #dead = false;
  #written = 0;
  readonly #unsynced = new Map<string, number>();
  /** Undoes what has been done to names in a folder since it was synchronised, the last first. */
  readonly #names = new Map<string, (() => void)[]>();
  /** Operations go one after the other: none is under way when the process ends, to go on in the time of the next one. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(fate: Fate) {
    this.#fate = fate;
  }

  async makeFolder(path: string): Promise<void> {
    await this.#change(async () => {
      const isNew = !existsSync(path);
      await diskFileSystem.makeFolder(path);
      if (isNew) this.#undoable(path, () => rmSync(path, { recursive: true, force: true }));
    });
  }

  async list(path: string): Promise<readonly string[]> {
    this.#live();
    return diskFileSystem.list(path);
  }

  async read(path: string): Promise<Buffer | undefined> {
    this.#live();
    return diskFileSystem.read(path);
  }

  async size(path: string): Promise<number | undefined> {
    this.#live();
    return diskFileSystem.size(path);
  }

  async modifiedMs(path: string): Promise<number | undefined> {
    this.#live();
    return diskFileSystem.modifiedMs(path);
  }

  async touch(path: string): Promise<void> {
    await this.#change(async () => {
      const isNew = !existsSync(path);
      await diskFileSystem.touch(path);
      if (isNew) this.#undoable(path, () => rmSync(path, { force: true }));
    });
  }

  async create(path: string): Promise<WritableFile> {
    const file = await this.#change(() => diskFileSystem.create(path));
    this.#unsynced.set(path, 0);
    this.#undoable(path, () => rmSync(path, { force: true }));
    return {
      write: async (bytes) => {
        // killed in the middle of it
        await this.#change(
          () => this.#write(file, bytes),
          () => file.write(bytes.subarray(0, Math.floor(bytes.length / 2))),
        );
      },
      sync: async () => {
        await this.#change(() => file.sync());
        if (existsSync(path)) this.#unsynced.set(path, statSync(path).size);
      },
      close: async () => {
        await file.close();
        this.#live();
      },
    };
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#change(async () => {
      const before = existsSync(to) && statSync(to).isFile() ? readFileSync(to) : undefined;
      await diskFileSystem.rename(from, to);
      const synced = this.#unsynced.get(from);
      this.#unsynced.delete(from);
      if (synced !== undefined) this.#unsynced.set(to, synced);
      this.#undoable(to, () => {
        renameSync(to, from);
        if (before) writeFileSync(to, before);
      });
    });
  }

  async remove(path: string): Promise<void> {
    await this.#change(
      async () => {
        const before = existsSync(path) && statSync(path).isFile() ? readFileSync(path) : undefined;
        await diskFileSystem.remove(path);
        this.#unsynced.delete(path);
        if (before) this.#undoable(path, () => writeFileSync(path, before));
      },
      // a folder goes entry by entry: killed in the middle of it
      async () => {
        const names = existsSync(path) && statSync(path).isDirectory() ? await diskFileSystem.list(path) : [];
        for (const name of names.slice(0, Math.ceil(names.length / 2))) await diskFileSystem.remove(join(path, name));
      },
    );
  }

  async syncFolder(path: string): Promise<void> {
    await this.#change(() => diskFileSystem.syncFolder(path));
    this.#names.delete(path);
  }

  async #write(file: WritableFile, bytes: Uint8Array): Promise<void> {
    const capacity = 'capacityBytes' in this.#fate ? this.#fate.capacityBytes : Infinity;
    if (this.#written + bytes.byteLength > capacity) {
      await file.write(bytes.subarray(0, capacity - this.#written));
      this.#written = capacity;
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    }
    this.#written += bytes.byteLength;
    await file.write(bytes);
  }

  #undoable(path: string, undo: () => void): void {
    const folder = dirname(path);
    this.#names.set(folder, [undo, ...(this.#names.get(folder) ?? [])]);
  }

  #change<T>(action: () => Promise<T>, half: () => Promise<void> = () => Promise.resolve()): Promise<T> {
    const result = this.#last.then(() => this.#changeNow(action, half));
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #changeNow<T>(action: () => Promise<T>, half: () => Promise<void>): Promise<T> {
    this.#live();
    const at = this.operations++;
    if ('killedAt' in this.#fate && at === this.#fate.killedAt) {
      this.#dead = true;
      await half();
    } else if ('powerLostAt' in this.#fate && at === this.#fate.powerLostAt) {
      this.#dead = true;
      for (const [path, bytes] of this.#unsynced) if (existsSync(path)) truncateSync(path, bytes);
      for (const undos of this.#names.values()) for (const undo of undos) undo();
    }
    this.#live();
    return action();
  }

  #live(): void {
    if (this.#dead) throw new Death('the process is dead');
  }
}
