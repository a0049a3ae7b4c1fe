/** A tar file (POSIX ustar with pax headers for long names), compressed, written piece by piece. */
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { createGzip } from 'node:zlib';
import { pipeline } from 'node:stream/promises';
import { padded, tarEnd, tarHeader } from './tar-blocks.ts';

/** Takes files and writes them into an archive that appears under its name only once it is whole. */
export class TarFile {
  readonly #path: string;
  readonly #at: Date;
  readonly #gzip = createGzip();
  readonly #written: Promise<void>;

  /** @param at - modification time of every file in it */
  constructor(path: string, at: Date) {
    this.#path = path;
    this.#at = at;
    // what it holds is for whoever made it
    const file = createWriteStream(this.#partial, { mode: 0o600 });
    this.#written = pipeline(this.#gzip, file);
    this.#written.catch(() => undefined);
  }

  get #partial(): string {
    return `${this.#path}.partial`;
  }

  /** Safe to be called while another call is under way. @param name - with `/` between folders. @throws the system's error */
  async add(name: string, content: string): Promise<void> {
    const bytes = Buffer.from(content);
    const short = splitName(name);
    const record = short ? undefined : paxRecord('path', name);
    // in one piece: nothing of another file comes between
    await this.#write(
      Buffer.concat([
        ...(record ? [this.#header({ name: 'pax', prefix: '' }, record.length, 'x'), padded(record)] : []),
        this.#header(short ?? { name: name.slice(-100), prefix: '' }, bytes.length, '0'),
        padded(bytes),
      ]),
    );
  }

  /** @throws the system's error */
  async close(): Promise<void> {
    this.#gzip.end(tarEnd);
    await this.#written;
    await rename(this.#partial, this.#path);
  }

  /** Leaves nothing behind. */
  async abandon(): Promise<void> {
    this.#gzip.destroy();
    await this.#written.catch(() => undefined);
    await rm(this.#partial, { force: true });
  }

  #header({ name, prefix }: ShortName, size: number, type: '0' | 'x'): Buffer {
    return tarHeader({ name, prefix, size, at: this.#at, mode: 0o600, type });
  }

  async #write(bytes: Buffer): Promise<void> {
    if (this.#gzip.destroyed) await this.#written;
    if (!this.#gzip.write(bytes)) await Promise.race([once(this.#gzip, 'drain'), this.#written]);
  }
}

interface ShortName {
  readonly name: string;
  readonly prefix: string;
}

/** Up to 100 bytes, or 155 more before a slash; undefined for what does not fit. */
function splitName(path: string): ShortName | undefined {
  if (Buffer.byteLength(path) <= 100) return { name: path, prefix: '' };
  for (let slash = path.indexOf('/'); slash > 0; slash = path.indexOf('/', slash + 1)) {
    const [prefix, name] = [path.slice(0, slash), path.slice(slash + 1)];
    if (Buffer.byteLength(prefix) <= 155 && Buffer.byteLength(name) <= 100 && name !== '') return { name, prefix };
  }
  return undefined;
}

/** `LENGTH path=NAME\n`, whose length counts its own digits. */
function paxRecord(name: string, value: string): Buffer {
  const rest = ` ${name}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes + 1;
  while (String(length).length + bytes !== length) length = String(length).length + bytes;
  return Buffer.from(`${length}${rest}`);
}
