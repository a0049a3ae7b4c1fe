import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleManifestFile, type BundleManifest } from '../bundle-manifest.ts';
import { bundleFiles, openBundle, parseManifest } from '../bundle.ts';
import type { BlobInfo, Blobs } from './blobs.ts';
import { StoreError } from './errors.ts';
import { deletionMs, Holds, type Pin } from './holds.ts';

/** A bundle that is in a store. */
export interface StoredBundle {
  readonly digest: string;
  /** What a router fetches it by. */
  readonly address: string;
  /** When it was whole for the first time, by the store's clock. */
  readonly createdMs: number;
  /** Of all its files. */
  readonly bytes: number;
  readonly manifest: BundleManifest;
}

export interface BundleStoreOptions {
  readonly now?: () => number;
  /** A name that no other process gives. */
  readonly uniqueName?: () => string;
}

/** A file of a few gigabytes is sent within that time; a writer that was killed keeps others from deleting for so long. */
const writerMs = 6 * 3_600_000;
const concurrentReads = 8;

/**
 * Bundles under their digests: `bundles/<digest>/<file>`, of which the manifest is written last and removed first, so that a bundle is there
 * whole or not at all. Writers of the same bundle write the same bytes, and need not know of each other. What is pinned is not deleted, and what
 * is being written counts as pinned.
 *
 * All methods throw StoreError, FetchError of an object store, BundleError of a damaged bundle, and the signal's reason.
 */
export class BundleStore {
  readonly #blobs: Blobs;
  readonly #holds: Holds;
  readonly #now: () => number;
  readonly #uniqueName: () => string;

  constructor(blobs: Blobs, { now = Date.now, uniqueName = () => randomBytes(8).toString('hex') }: BundleStoreOptions = {}) {
    this.#blobs = blobs;
    this.#holds = new Holds(blobs, now);
    this.#now = now;
    this.#uniqueName = uniqueName;
  }

  /** Where a bundle is, or would be. @throws StoreError `STORE_INVALID` */
  address(digest: string): string {
    return this.#blobs.address(this.#folder(digest));
  }

  /** Stores the bundle of a folder, every byte of it checked. `existed`: it was there before. */
  async put(
    folder: string,
    signal: AbortSignal,
  ): Promise<{ readonly digest: string; readonly address: string; readonly existed: boolean }> {
    const { digest, manifest, folder: place } = await openBundle(folder, signal);
    const text = await readFile(join(place, bundleManifestFile));
    if (createHash('sha256').update(text).digest('hex') !== digest)
      throw new StoreError(
        'STORE_DIGEST_MISMATCH',
        join(place, bundleManifestFile),
        'changed while it was stored',
        'make the bundle again',
      );
    const writer = `writer-${this.#uniqueName()}`;
    const hold = (): Promise<void> => this.#hold(digest, { owner: writer, expiresMs: this.#now() + writerMs }, signal);
    const key = this.#manifestKey(digest);
    try {
      await hold();
      const before = await this.#blobs.read(key, signal);
      for (const { name, sha256, bytes } of bundleFiles(manifest)) {
        await this.#blobs.upload(`${this.#folder(digest)}/${name}`, join(place, name), { sha256, bytes }, signal);
        await hold();
      }
      const existed = before !== undefined && Buffer.from(before).equals(text);
      if (!existed) await this.#blobs.write(key, text, signal);
      return { digest, address: this.address(digest), existed };
    } finally {
      // it runs out by itself where the store is away
      await this.#holds.remove(digest, writer, AbortSignal.timeout(10_000)).catch(() => undefined);
    }
  }

  /** All bundles, the newest first. A manifest that is damaged is left out: its bundle cannot be used. */
  async list(signal: AbortSignal): Promise<readonly StoredBundle[]> {
    const manifests = (await this.#blobs.list('bundles/', signal)).flatMap((info) => {
      const [, digest, file, more] = info.key.split('/');
      return digest !== undefined && isDigest(digest) && file === bundleManifestFile && more === undefined ? [{ digest, info }] : [];
    });
    const found: StoredBundle[] = [];
    for (let start = 0; start < manifests.length; start += concurrentReads) {
      const some = manifests.slice(start, start + concurrentReads);
      const read = await Promise.all(some.map(({ digest, info }) => this.#read(digest, info, signal)));
      found.push(...read.flatMap((bundle) => bundle ?? []));
    }
    return found.toSorted((a, b) => b.createdMs - a.createdMs || (a.digest < b.digest ? -1 : 1));
  }

  async find(digest: string, signal: AbortSignal): Promise<StoredBundle | undefined> {
    const key = this.#manifestKey(digest);
    const info = (await this.#blobs.list(`${this.#folder(digest)}/`, signal)).find((each) => each.key === key);
    return info && this.#read(digest, info, signal);
  }

  /** Makes a bundle a folder of this machine, every byte checked; from an object store by a download into `cacheFolder`, resumed where one ended. */
  async get(digest: string, cacheFolder: string, signal: AbortSignal): Promise<string> {
    await this.#assertThere(digest, signal);
    return this.#blobs.fetchBundle(this.#folder(digest), digest, cacheFolder, signal);
  }

  /** Keeps a bundle from being deleted, or lets an owner's pin last otherwise. @throws StoreError `STORE_MISSING`, `STORE_BUSY` */
  async pin(digest: string, pin: Pin, signal: AbortSignal): Promise<void> {
    this.#folder(digest);
    await this.#hold(digest, pin, signal);
    await this.#assertThere(digest, signal).catch(async (error: unknown) => {
      await this.#holds.remove(digest, pin.owner, signal);
      throw error;
    });
  }

  async unpin(digest: string, owner: string, signal: AbortSignal): Promise<void> {
    this.#folder(digest);
    await this.#holds.remove(digest, owner, signal);
  }

  /** Those that have not expired. A writer at work is one, as `writer-…`. */
  async pins(digest: string, signal: AbortSignal): Promise<readonly Pin[]> {
    this.#folder(digest);
    return this.#holds.list(digest, signal);
  }

  /**
   * Deletes a bundle, or what is left of one.
   *
   * @throws StoreError `STORE_IN_USE` naming the owners of its pins; then it is as it was
   */
  async delete(digest: string, signal: AbortSignal): Promise<void> {
    const folder = this.#folder(digest);
    const id = this.#uniqueName();
    const markedMs = await this.#holds.mark(digest, id, signal);
    const own = async (): Promise<readonly string[]> => [...(await this.#holds.marks(digest, signal)).stale, id];
    const owners = (await this.#holds.list(digest, signal)).map(({ owner }) => owner);
    if (owners.length > 0) {
      await this.#holds.unmark(digest, await own(), signal);
      const fix = `let go of it there (${owners.slice(0, 5).join(', ')}), or wait until the pins expire`;
      throw new StoreError('STORE_IN_USE', this.#blobs.address(folder), `is in use by ${owners.length}`, fix);
    }
    const manifest = this.#manifestKey(digest);
    const keys = (await this.#blobs.list(`${folder}/`, signal)).map(({ key }) => key).filter((key) => key !== manifest);
    for (const key of [manifest, ...keys]) {
      // others take a deletion that lasts too long for dead, and may write the bundle again
      if (this.#now() - markedMs > deletionMs / 2)
        throw new StoreError('STORE_BUSY', this.#blobs.address(folder), 'its deletion took too long', 'delete it again');
      await this.#blobs.remove(key, signal);
    }
    await this.#holds.removeExpired(digest, signal);
    await this.#holds.unmark(digest, await own(), signal);
  }

  /** Removes what killed writers and deletions have left, if nothing of it was written within `keptMs`. @returns digests of what it was of */
  async sweep(keptMs: number, signal: AbortSignal): Promise<readonly string[]> {
    const olderThanMs = this.#now() - keptMs;
    await this.#blobs.sweep(olderThanMs, signal);
    const byDigest = Map.groupBy(await this.#blobs.list('bundles/', signal), ({ key }) => key.split('/')[1] ?? '');
    for (const { key } of await this.#blobs.list('deleting/', signal)) {
      const digest = key.split('/')[1] ?? '';
      if (!byDigest.has(digest)) byDigest.set(digest, []);
    }
    const swept: string[] = [];
    for (const [digest, blobs] of byDigest) {
      const whole = blobs.some(({ key }) => key === `bundles/${digest}/${bundleManifestFile}`);
      if (!isDigest(digest) || whole || blobs.some(({ writtenMs }) => writtenMs >= olderThanMs)) continue;
      if ((await this.#holds.marks(digest, signal)).alive.length > 0) continue;
      try {
        await this.delete(digest, signal);
        swept.push(digest);
      } catch (error) {
        if (!(error instanceof StoreError && error.code === 'STORE_IN_USE')) throw error;
      }
    }
    return swept;
  }

  /** Pins it, and finishes a deletion whose process is gone. @throws StoreError `STORE_BUSY` */
  async #hold(digest: string, pin: Pin, signal: AbortSignal): Promise<void> {
    for (let tries = 0; ; tries++) {
      const before = await this.#holds.find(digest, pin.owner, signal);
      await this.#holds.write(digest, pin, signal);
      const { alive, stale } = await this.#holds.marks(digest, signal);
      if (alive.length + stale.length === 0) return;
      // a pin that was in force stays so: a deletion that has begun is about to see it
      if (before) await this.#holds.write(digest, before, signal);
      else await this.#holds.remove(digest, pin.owner, signal);
      if (alive.length > 0 || tries > 0)
        throw new StoreError('STORE_BUSY', this.address(digest), 'is being deleted just now', 'try again in a minute');
      await this.delete(digest, signal).catch((error: unknown) => {
        if (!(error instanceof StoreError && error.code === 'STORE_IN_USE')) throw error;
      });
    }
  }

  async #read(digest: string, { key, writtenMs }: BlobInfo, signal: AbortSignal): Promise<StoredBundle | undefined> {
    const bytes = await this.#blobs.read(key, signal);
    if (bytes === undefined || createHash('sha256').update(bytes).digest('hex') !== digest) return undefined;
    const manifest = parseManifest(Buffer.from(bytes).toString('utf8'), this.#blobs.address(key));
    const size = bundleFiles(manifest).reduce((sum, file) => sum + file.bytes, bytes.byteLength);
    return { digest, address: this.address(digest), createdMs: writtenMs, bytes: size, manifest };
  }

  async #assertThere(digest: string, signal: AbortSignal): Promise<void> {
    if ((await this.#blobs.read(this.#manifestKey(digest), signal)) !== undefined) return;
    throw new StoreError('STORE_MISSING', this.address(digest), 'there is no such bundle', 'correct the digest, or store the bundle');
  }

  #manifestKey(digest: string): string {
    return `${this.#folder(digest)}/${bundleManifestFile}`;
  }

  #folder(digest: string): string {
    if (isDigest(digest)) return `bundles/${digest}`;
    const shown = JSON.stringify(digest.slice(0, 80));
    throw new StoreError('STORE_INVALID', this.#blobs.address('bundles'), `digest: ${shown} is none`, 'write 64 hexadecimal digits');
  }
}

function isDigest(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}
