import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { bundleManifestFile } from '../bundle-manifest.ts';
import { keepNewestFiles, removeOldest, subfolders } from './artifact-store.ts';
import { bundlePieces, fetchedBundles } from './bundle-folder.ts';

/** What was used within this time stays: another process may be about to read it. */
const graceMs = 10 * 60_000;

/** Removes fetched files and bundles but the `count` of each used last, and never one used within `keptMs`. */
export async function keepNewestArtifacts(cacheFolder: string, count: number, keptMs = graceMs): Promise<void> {
  await keepNewestFiles(cacheFolder, count, keptMs);
  // a bundle links to the bytes of its files: these are only for going on with a download
  await keepNewestFiles(bundlePieces(cacheFolder), 0, keptMs);
  const bundles = await Promise.all(
    (await subfolders(fetchedBundles(cacheFolder))).map(async (folder) => {
      const entry = (await stat(join(folder, bundleManifestFile)).catch(() => undefined)) ?? (await stat(folder).catch(() => undefined));
      return { folder, usedMs: entry?.mtimeMs ?? 0 };
    }),
  );
  const isScratch = ({ folder }: { readonly folder: string }): boolean => basename(folder).startsWith('.');
  await removeOldest(
    bundles.filter((each) => !isScratch(each)),
    count,
    keptMs,
  );
  await removeOldest(bundles.filter(isScratch), 0, keptMs);
}
