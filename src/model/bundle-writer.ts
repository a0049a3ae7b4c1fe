import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat, statfs, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { BundleError } from './bundle-errors.ts';
import { bundleManifestFile, type BundleManifest } from './bundle-manifest.ts';
import { openBundle, parseManifest, type BundleFile } from './bundle.ts';
import { flush } from './flush.ts';

const pieceBytes = 16 * 2 ** 20;
/** A scratch folder that another machine has not touched for so long belongs to nobody. */
const abandonedMs = 6 * 3_600_000;

/** A folder that became a bundle. */
export interface WrittenBundle {
  readonly folder: string;
  readonly digest: string;
  /** The very same bundle was there before, and was left as it is. */
  readonly existed: boolean;
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

/**
 * Writes a bundle so that it is there whole or not at all: into a scratch folder beside its place, every file flushed to the disk, and then renamed.
 * What a killed process leaves is a hidden folder that no reader takes for a bundle; the next writer for the same place removes it.
 */
export class BundleWriter {
  /** Where files lie until the bundle is committed. */
  readonly scratch: string;
  readonly #target: string;

  private constructor(target: string, scratch: string) {
    this.#target = target;
    this.scratch = scratch;
  }

  /** @throws BundleError `BUNDLE_OUTPUT_EXISTS` when something other than a bundle or an empty folder is at `target` */
  static async create(target: string): Promise<BundleWriter> {
    const place = resolve(target);
    await mkdir(dirname(place), { recursive: true });
    if ((await contentOf(place))?.includes(bundleManifestFile) === false) throw occupied(place);
    const prefix = `.${basename(place)}.partial-`;
    await removeAbandoned(dirname(place), prefix);
    const scratch = join(dirname(place), `${prefix}${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`);
    await mkdir(scratch);
    return new BundleWriter(place, scratch);
  }

  /**
   * Writes a file and says how the manifest lists it. `bytes`: its size, to be refused before it is written when the disk is too full.
   *
   * @throws BundleError `BUNDLE_NO_SPACE`; the signal's reason
   */
  async add(
    name: string,
    bytes: number,
    chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<BundleFile> {
    const { bavail, bsize } = await statfs(this.scratch);
    if (bavail * bsize < bytes) throw this.#noSpace(name, bytes);
    const hash = createHash('sha256');
    const handle = await open(join(this.scratch, name), 'wx');
    let written = 0;
    try {
      for await (const chunk of chunks) {
        for (let start = 0; start < chunk.byteLength; start += pieceBytes) {
          signal?.throwIfAborted();
          const piece = chunk.subarray(start, start + pieceBytes);
          hash.update(piece);
          await handle.writeFile(piece);
          written += piece.byteLength;
        }
      }
      await handle.sync();
    } catch (error) {
      throw hasCode(error, 'ENOSPC', 'EDQUOT') ? this.#noSpace(name, bytes, error) : error;
    } finally {
      await handle.close();
    }
    if (written !== bytes) throw new RangeError(`${name} was to have ${bytes} bytes and has ${written}`);
    return { name, sha256: hash.digest('hex'), bytes };
  }

  /** Takes a file back that only served on the way. */
  async remove(name: string): Promise<void> {
    await unlink(join(this.scratch, name));
  }

  /**
   * Writes the manifest and puts the bundle in its place.
   *
   * @throws BundleError `BUNDLE_OUTPUT_EXISTS` when another bundle is there
   */
  async commit(manifest: BundleManifest): Promise<WrittenBundle> {
    const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
    parseManifest(text.toString(), join(this.#target, bundleManifestFile));
    const { sha256: digest } = await this.add(bundleManifestFile, text.byteLength, [text]);
    await flush(this.scratch);
    const existed = !(await this.#rename(digest));
    await flush(dirname(this.#target));
    return { folder: this.#target, digest, existed };
  }

  /** Puts the scratch folder in its place; false: the same bundle is there already. */
  async #rename(digest: string): Promise<boolean> {
    try {
      // onto an empty folder this succeeds, onto anything else it fails
      await rename(this.scratch, this.#target);
      return true;
    } catch (error) {
      if (!hasCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOTDIR')) throw error;
      const found = await openBundle(this.#target).catch((cause: unknown) => {
        throw occupied(this.#target, cause);
      });
      if (found.digest !== digest) throw occupied(this.#target, error, found.digest);
      await this.discard();
      return false;
    }
  }

  /** Removes what was written; after a commit it does nothing. */
  async discard(): Promise<void> {
    await rm(this.scratch, { recursive: true, force: true });
  }

  #noSpace(name: string, bytes: number, cause?: unknown): BundleError {
    const fix = 'free some space or write the bundle elsewhere';
    return new BundleError('BUNDLE_NO_SPACE', this.#target, `the disk has no room for ${name} of ${bytes} bytes`, fix, cause);
  }
}

function occupied(path: string, cause?: unknown, digest?: string): BundleError {
  const what = digest === undefined ? 'something else is there that is no whole bundle' : `another bundle is there (sha256 ${digest})`;
  return new BundleError('BUNDLE_OUTPUT_EXISTS', path, what, 'write to another folder, or remove this one', cause);
}

/** Names in a folder; undefined: nothing is there, or an empty folder. */
async function contentOf(path: string): Promise<readonly string[] | undefined> {
  try {
    const names = await readdir(path);
    return names.length > 0 ? names : undefined;
  } catch (cause) {
    if (hasCode(cause, 'ENOENT')) return undefined;
    throw occupied(path, cause);
  }
}

/** Removes scratch folders of writers that are gone: of this host by their process id, of others by their age. */
async function removeAbandoned(parent: string, prefix: string): Promise<void> {
  const ours = `${prefix}${hostname()}-`;
  for (const name of (await readdir(parent)).filter((each) => each.startsWith(prefix))) {
    const path = join(parent, name);
    const pid = name.startsWith(ours) ? Number(name.slice(ours.length).split('-')[0]) : undefined;
    const gone = pid === undefined ? Date.now() - (await lastChange(path)) > abandonedMs : pid !== process.pid && !isAlive(pid);
    if (gone) await rm(path, { recursive: true, force: true });
  }
}

async function lastChange(path: string): Promise<number> {
  const names = await readdir(path).catch(() => []);
  const times = await Promise.all(['.', ...names].map(async (name) => (await stat(join(path, name)).catch(() => undefined))?.mtimeMs ?? 0));
  return Math.max(...times);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return hasCode(error, 'EPERM');
  }
}
