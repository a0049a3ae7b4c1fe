import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { join } from 'node:path';
import type { JsonValue } from '../step-identity.ts';
import type { PartJournal } from '../step.ts';
import { diskError, onDisk, type FileSystem, type WritableFile } from './file-system.ts';

interface Waiting {
  readonly line: string;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Finished requests of a part under way, a line each: checksum, key and value. Every run writes a file of its own and reads those of all runs
 * before it, so that two pods of one shard do not disturb each other. A line that a kill has cut off ends its file. Lines that wait together
 * are made durable together.
 */
export class Journal implements PartJournal {
  readonly #fileSystem: FileSystem;
  readonly #folder: string;
  readonly #part: string;
  readonly #entries: Map<string, JsonValue>;
  #file: WritableFile | undefined;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #closed = false;

  private constructor(fileSystem: FileSystem, folder: string, part: string, entries: Map<string, JsonValue>) {
    this.#fileSystem = fileSystem;
    this.#folder = folder;
    this.#part = part;
    this.#entries = entries;
  }

  /** What earlier runs have recorded of a part. `folder` must exist. */
  static async open(fileSystem: FileSystem, folder: string, part: string): Promise<Journal> {
    const entries = new Map<string, JsonValue>();
    for (const name of await journalFiles(fileSystem, folder, part)) {
      const path = join(folder, name);
      const bytes = await onDisk(path, () => fileSystem.read(path));
      for (const [key, value] of linesOf(bytes?.toString('utf8') ?? '')) if (!entries.has(key)) entries.set(key, value);
    }
    return new Journal(fileSystem, folder, part, entries);
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): JsonValue | undefined {
    return this.#entries.get(key);
  }

  async record(key: string, value: JsonValue): Promise<void> {
    // what is late after a failure elsewhere is done again by the next run
    if (this.#closed) throw new Error(`the journal of ${this.#part} is closed`);
    if (this.#entries.has(key)) throw new Error(`the journal of ${this.#part} has ${key} already`);
    const json = JSON.stringify([key, value]);
    // As it will be read after a kill: a value must not depend on whether there was one.
    this.#entries.set(key, (JSON.parse(json) as readonly [string, JsonValue])[1]);
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    this.#waiting.push({ line: `${checksum(json)} ${json}\n`, resolve: () => resolve(undefined), reject });
    this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
    await promise;
  }

  /** Ends writing; what was recorded stays for the next run. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** Removes the journals of a part that is finished. */
  async remove(): Promise<void> {
    await this.close();
    await removeJournals(this.#fileSystem, this.#folder, this.#part);
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        this.#file ??= await this.#create();
        await this.#file.write(Buffer.from(batch.map(({ line }) => line).join('')));
        await this.#file.sync();
        for (const { resolve } of batch) resolve();
      } catch (error) {
        const failure = diskError(error, join(this.#folder, this.#part));
        for (const { reject } of batch) reject(failure);
      }
    }
  }

  async #create(): Promise<WritableFile> {
    this.#file = await this.#fileSystem.create(join(this.#folder, `${this.#part}.${randomBytes(6).toString('hex')}.jsonl`));
    await this.#fileSystem.syncFolder(this.#folder);
    return this.#file;
  }
}

export async function removeJournals(fileSystem: FileSystem, folder: string, part: string): Promise<void> {
  for (const name of await journalFiles(fileSystem, folder, part)) {
    const path = join(folder, name);
    await onDisk(path, () => fileSystem.remove(path));
  }
}

async function journalFiles(fileSystem: FileSystem, folder: string, part: string): Promise<readonly string[]> {
  const names = await onDisk(folder, () => fileSystem.list(folder));
  return names.filter((name) => name.startsWith(`${part}.`) && name.endsWith('.jsonl'));
}

function* linesOf(text: string): Generator<readonly [string, JsonValue]> {
  for (let start = 0; ;) {
    const end = text.indexOf('\n', start);
    if (end < 0) return;
    const line = text.slice(start, end);
    const json = line.slice(9);
    if (line[8] !== ' ' || line.slice(0, 8) !== checksum(json)) return;
    yield JSON.parse(json) as readonly [string, JsonValue];
    start = end + 1;
  }
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}
