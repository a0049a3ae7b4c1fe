import { stringify } from 'yaml';
import { reasonOf } from '../view/gaps.ts';
import { redactJson, redactLog, redactObject } from './redact-object.ts';
import { redactText } from './redact-text.ts';
import type { TarFile } from './tar.ts';

/** What lies in the archive, and what does not. */
export interface Contents {
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  readonly missing: readonly { readonly what: string; readonly why: string }[];
}

/** The folder that the archive unpacks into. */
export const topFolder = 'r2r-support';

/** Puts what was read into the archive, redacted: nothing gets there by another way. */
export class Collector {
  readonly #tar: TarFile;
  readonly #signal: AbortSignal;
  readonly #files: { path: string; bytes: number }[] = [];
  readonly #missing: { what: string; why: string }[] = [];

  constructor(tar: TarFile, signal: AbortSignal) {
    this.#tar = tar;
    this.#signal = signal;
  }

  get contents(): Contents {
    return { files: this.#files, missing: this.#missing };
  }

  /** Kubernetes objects, as YAML documents. Nothing is written for none. */
  async objects(path: string, objects: readonly unknown[]): Promise<void> {
    if (objects.length === 0) return;
    await this.#add(path, objects.map((each) => stringify(redactObject(each), { aliasDuplicateObjects: false })).join('---\n'));
  }

  /** A page of JSON; what is none is taken as text. */
  async page(path: string, text: string): Promise<void> {
    let content: string;
    try {
      content = `${JSON.stringify(redactJson(JSON.parse(text)), null, 2)}\n`;
    } catch {
      content = redactText(text);
    }
    await this.#add(path, content);
  }

  async log(path: string, text: string): Promise<void> {
    await this.#add(path, redactLog(text));
  }

  async text(path: string, text: string): Promise<void> {
    await this.#add(path, redactText(text));
  }

  missing(what: string, why: string): void {
    this.#missing.push({ what: redactText(what), why: redactText(why) });
  }

  /** What could not be read is told in the index. */
  async tryRead<T>(what: string, read: Promise<T>): Promise<T | undefined> {
    try {
      return await read;
    } catch (error) {
      this.#signal.throwIfAborted();
      this.missing(what, reasonOf(error));
      return undefined;
    }
  }

  async #add(path: string, content: string): Promise<void> {
    await this.#tar.add(`${topFolder}/${path}`, content);
    this.#files.push({ path, bytes: Buffer.byteLength(content) });
  }
}

/** Runs so many at a time. */
export async function inTurns<T>(items: readonly T[], atOnce: number, run: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await run(item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}
