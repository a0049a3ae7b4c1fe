import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleManifestFile } from '../model/bundle-manifest.ts';
import { keepNewestArtifacts } from '../model/fetch/index.ts';

/** The bundle in force, and the one before. */
const keptBundles = 2;

/** Where a cache has its bundles, each in a folder that is named by what it was made of. */
export function bundlesFolder(cacheFolder: string): string {
  return join(cacheFolder, 'bundles');
}

/**
 * Removes bundles and downloads that are not the last ones used, and what killed imports left.
 *
 * @param graceMs what was used within this time stays: another router may share the cache
 */
export async function tidyCache(cacheFolder: string, graceMs = 10 * 60_000): Promise<void> {
  const bundles = bundlesFolder(cacheFolder);
  const found = await Promise.all(
    (await readdir(bundles).catch(() => [])).map(async (name) => {
      const folder = join(bundles, name);
      const entry = (await stat(join(folder, bundleManifestFile)).catch(() => undefined)) ?? (await stat(folder).catch(() => undefined));
      return { folder, usedMs: entry?.mtimeMs ?? 0 };
    }),
  );
  for (const { folder, usedMs } of found.sort((a, b) => b.usedMs - a.usedMs).slice(keptBundles))
    if (Date.now() - usedMs > graceMs) await rm(folder, { recursive: true, force: true });
  await keepNewestArtifacts(cacheFolder, keptBundles, graceMs);
}
