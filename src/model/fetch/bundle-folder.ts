import { randomBytes } from 'node:crypto';
import { copyFile, link, mkdir, readFile, rename, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleManifestFile } from '../bundle-manifest.ts';
import { bundleFiles, openBundle, parseManifest, type BundleFile } from '../bundle.ts';
import { flush } from '../flush.ts';
import { ArtifactStore } from './artifact-store.ts';
import { fileOfBundle, type RemoteUri } from './artifact-uri.ts';
import { FetchError } from './errors.ts';
import type { FetchedArtifact } from './fetched-artifact.ts';
import type { FetchLimits } from './limits.ts';
import { hasCode } from './partial-file.ts';

const maxManifestBytes = 2 ** 20;

/** Where a cache has the bundles that were downloaded, each in a folder that is named by its digest. */
export function fetchedBundles(cacheFolder: string): string {
  return join(cacheFolder, 'fetched-bundles');
}

/** Where the files of bundles lie while they are downloaded; the bundles link to them. */
export function bundlePieces(cacheFolder: string): string {
  return join(cacheFolder, 'bundle-files');
}

/** How one file is had; what it gives is kept under `cacheFolder`. */
export type FetchFile = (uri: RemoteUri, cacheFolder: string, limits: Partial<FetchLimits>) => Promise<FetchedArtifact>;

/**
 * Fetches a bundle by its digest: the manifest, whose sha256 the digest is, and the files that it lists. Nothing else is trusted, so it does not
 * matter who serves them. The folder is there whole or not at all; a bundle that is in the cache is checked and not asked for again.
 *
 * @throws FetchError, `FETCH_DIGEST_MISMATCH` when a file is not the one that the bundle has; BundleError of its manifest; the signal's reason
 */
export async function fetchBundle(
  uri: RemoteUri & { readonly bundle: string },
  cacheFolder: string,
  fetchFile: FetchFile,
  signal: AbortSignal,
): Promise<FetchedArtifact> {
  const digest = uri.bundle;
  const folder = join(fetchedBundles(cacheFolder), digest);
  const fetched: FetchedArtifact = { path: folder, kind: 'folder', digest, source: uri.uri, fresh: true };
  if (await isWhole(folder, digest, signal)) return fetched;
  const pieces = bundlePieces(cacheFolder);
  const checked = async (name: string, sha256: string, maxBytes?: number): Promise<string> => {
    const file = fileOfBundle(uri, name);
    const { path, digest: found } = await fetchFile(file, pieces, maxBytes === undefined ? {} : { maxBytes });
    if (found === sha256) return path;
    // or the next try would be told that nothing has changed
    await new ArtifactStore(pieces, file.scheme, file.uri).remove();
    const problem = `its sha256 is ${found ?? 'unknown'}, that of the bundle's file is ${sha256}`;
    throw new FetchError('FETCH_DIGEST_MISMATCH', file.uri, problem, 'do not use it; put the bundle there again');
  };
  const scratch = join(fetchedBundles(cacheFolder), `.${digest}.partial-${randomBytes(6).toString('hex')}`);
  await mkdir(scratch, { recursive: true });
  try {
    const manifestPath = await checked(bundleManifestFile, digest, maxManifestBytes);
    const manifest = parseManifest(await readFile(manifestPath, 'utf8'), fileOfBundle(uri, bundleManifestFile).uri);
    const names: readonly Pick<BundleFile, 'name' | 'sha256' | 'bytes'>[] = bundleFiles(manifest);
    for (const { name, sha256, bytes } of names) await place(await checked(name, sha256, bytes), join(scratch, name));
    await place(manifestPath, join(scratch, bundleManifestFile));
    await flush(scratch);
    await settle(scratch, folder, digest, signal);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return fetched;
}

/** Puts the folder in its place; another process may have been faster, or have left a damaged one. */
async function settle(scratch: string, folder: string, digest: string, signal: AbortSignal): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await rename(scratch, folder);
      return;
    } catch (error) {
      if (!hasCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOTDIR') || tries > 3) throw error;
      if (await isWhole(folder, digest, signal)) return;
      const damaged = `${scratch}-damaged`;
      await rename(folder, damaged).catch(() => undefined);
      await rm(damaged, { recursive: true, force: true });
    }
  }
}

async function isWhole(folder: string, digest: string, signal: AbortSignal): Promise<boolean> {
  const found = await openBundle(folder, signal).catch(() => undefined);
  signal.throwIfAborted();
  if (found?.digest !== digest) return false;
  const now = new Date();
  await utimes(join(folder, bundleManifestFile), now, now).catch(() => undefined);
  return true;
}

async function place(from: string, to: string): Promise<void> {
  await link(from, to).catch(async (error: unknown) => {
    if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EXDEV', 'EMLINK', 'EOPNOTSUPP')) throw error;
    await copyFile(from, to);
    await flush(to);
  });
}
