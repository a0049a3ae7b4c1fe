import { createHash, randomBytes } from 'node:crypto';
import { copyFile, link, mkdir, readFile, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { sha256OfFile } from './digest.ts';
import { hasCode, removeOldPartials, type PartialFile } from './partial-file.ts';

const recordFile = 'artifact.json';
const recordSchema = z.object({
  formatVersion: z.literal(1),
  uri: z.string(),
  /** The address with the version that this is. */
  source: z.string(),
  file: z.string().regex(/^[^/\0]+$/),
  /** sha256 */
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.int().nonnegative(),
  /** What the server calls these bytes. */
  etag: z.string().optional(),
});

/** What the cache knows of a file that was fetched whole. */
export type ArtifactRecord = Omit<z.infer<typeof recordSchema>, 'formatVersion'>;

export interface StoredArtifact {
  readonly path: string;
  readonly record: ArtifactRecord;
}

/** Versions used within this time stay: another process may be about to read them. */
const graceMs = 10 * 60_000;
const partialsMaxAgeMs = 24 * 3600_000;

/**
 * Fetched files of one address: `<cache>/<scheme>/<address>/<version>/<file>`, each with a record beside it that is written first, so that
 * a file without one does not exist and a killed process loses nothing. The time of the record is that of its last use.
 */
export class ArtifactStore {
  readonly downloads: string;
  readonly #folder: string;
  readonly #uri: string;

  constructor(cacheFolder: string, scheme: string, uri: string) {
    this.downloads = join(cacheFolder, 'downloads');
    this.#folder = join(cacheFolder, scheme, artifactKey(uri));
    this.#uri = uri;
  }

  /** A version whose bytes are what its record says. */
  async version(version: string, signal: AbortSignal): Promise<StoredArtifact | undefined> {
    const folder = join(this.#folder, version);
    const record = await this.#read(folder);
    if (!record) return undefined;
    const path = join(folder, record.file);
    const found = await stat(path).catch(() => undefined);
    if (found?.size !== record.bytes || (await sha256OfFile(path, signal)) !== record.digest) return undefined;
    const now = new Date();
    await utimes(join(folder, recordFile), now, now).catch(() => undefined);
    return { path, record };
  }

  /** The version used last. */
  async latest(signal: AbortSignal): Promise<StoredArtifact | undefined> {
    for (const { version } of await this.#versions()) {
      const stored = await this.version(version, signal);
      if (stored) return stored;
    }
    return undefined;
  }

  /** The bytes of another version that the server calls the same. */
  async withEtag(etag: string, signal: AbortSignal): Promise<StoredArtifact | undefined> {
    for (const { version, record } of await this.#versions()) {
      const stored = record.etag === etag ? await this.version(version, signal) : undefined;
      if (stored) return stored;
    }
    return undefined;
  }

  /** Puts a whole file in its place, and removes versions of this address that nobody has used for a while. */
  async add(version: string, record: Omit<ArtifactRecord, 'uri'>, bytes: PartialFile | StoredArtifact): Promise<StoredArtifact> {
    const path = join(this.#folder, version, record.file);
    const whole: ArtifactRecord = { ...record, uri: this.#uri };
    await writeWhole(join(dirname(path), recordFile), JSON.stringify({ formatVersion: 1, ...whole }));
    if ('record' in bytes) await linkOrCopy(bytes.path, path);
    else await bytes.complete(path);
    await this.#collect(version);
    return { path, record: whole };
  }

  /** Forgets every version of this address. */
  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #collect(kept: string): Promise<void> {
    for (const { version, usedMs } of await this.#versions())
      if (version !== kept && Date.now() - usedMs > graceMs) await rm(join(this.#folder, version), { recursive: true, force: true });
    await removeOldPartials(this.downloads, partialsMaxAgeMs);
  }

  /** The one used last first. */
  async #versions(): Promise<readonly { version: string; record: ArtifactRecord; usedMs: number }[]> {
    const names = await readdir(this.#folder).catch(() => []);
    const found = await Promise.all(
      names.map(async (version) => {
        const record = await this.#read(join(this.#folder, version));
        const entry = await stat(join(this.#folder, version, recordFile)).catch(() => undefined);
        return record && entry ? [{ version, record, usedMs: entry.mtimeMs }] : [];
      }),
    );
    return found.flat().sort((a, b) => b.usedMs - a.usedMs);
  }

  async #read(folder: string): Promise<ArtifactRecord | undefined> {
    const text = await readFile(join(folder, recordFile), 'utf8').catch(() => '');
    try {
      const record = recordSchema.parse(JSON.parse(text));
      return record.uri === this.#uri ? record : undefined;
    } catch {
      // missing, or of another version of this program: then it is fetched again
      return undefined;
    }
  }
}

/** Removes fetched files of all addresses but the `count` used last, and never one used within `keptMs`. */
export async function keepNewestFiles(cacheFolder: string, count: number, keptMs = graceMs): Promise<void> {
  const addresses = (await Promise.all(['hf', 'https', 's3'].map((scheme) => subfolders(join(cacheFolder, scheme))))).flat();
  const used = await Promise.all(
    addresses.map(async (folder) => {
      const records = (await subfolders(folder)).map((version) => stat(join(version, recordFile)).catch(() => undefined));
      return { folder, usedMs: Math.max(0, ...(await Promise.all(records)).map((entry) => entry?.mtimeMs ?? 0)) };
    }),
  );
  await removeOldest(used, count, keptMs);
}

/** Removes all folders but the `count` used last, and never one used within `keptMs`. */
export async function removeOldest(
  used: readonly { readonly folder: string; readonly usedMs: number }[],
  count: number,
  keptMs: number,
): Promise<void> {
  for (const { folder, usedMs } of used.toSorted((a, b) => b.usedMs - a.usedMs).slice(count))
    if (Date.now() - usedMs > keptMs) await rm(folder, { recursive: true, force: true });
}

export async function subfolders(folder: string): Promise<readonly string[]> {
  return (await readdir(folder).catch(() => [])).map((name) => join(folder, name));
}

/** A file name for an address. */
export function artifactKey(uri: string): string {
  return createHash('sha256').update(uri).digest('hex').slice(0, 32);
}

async function writeWhole(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const scratch = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(scratch, text, { flag: 'wx' });
  await rename(scratch, path);
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  const scratch = `${to}.${randomBytes(6).toString('hex')}`;
  await link(from, scratch).catch(async (error: unknown) => {
    if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EXDEV', 'EMLINK', 'EOPNOTSUPP')) throw error;
    await copyFile(from, scratch);
  });
  await rename(scratch, to);
}
