import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { claimFolder } from '../api/claim.ts';
import { bundleManifestFile } from '../model/bundle-manifest.ts';

/**
 * Tells a checkpoint, or a bundle by its manifest, on this machine's disks from what it was before.
 *
 * @returns undefined for other addresses, and where there is no file
 */
export async function networkFingerprint(uri: string): Promise<string | undefined> {
  const path = localPath(uri);
  if (path === undefined) return undefined;
  try {
    const there = await stat(path);
    const { ino, size, mtimeMs } = there.isDirectory() ? await stat(join(path, bundleManifestFile)) : there;
    return `${ino} ${size} ${mtimeMs}`;
  } catch {
    return undefined;
  }
}

function localPath(uri: string): string | undefined {
  const [, claim, path] = /^pvc:\/\/([^/]+)\/(.+)$/.exec(uri) ?? [];
  if (claim !== undefined && path !== undefined) return join(claimFolder(claim), path);
  return uri.startsWith('/') ? uri : undefined;
}
