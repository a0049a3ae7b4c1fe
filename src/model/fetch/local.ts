import { realpath, stat } from 'node:fs/promises';
import { basename, sep } from 'node:path';
import type { ArtifactUri } from './artifact-uri.ts';
import { sha256OfFile } from './digest.ts';
import { FetchError } from './errors.ts';
import type { FetchedArtifact } from './fetched-artifact.ts';

type LocalUri = Extract<ArtifactUri, { readonly scheme: 'path' | 'pvc' }>;

/**
 * A file or folder of this machine as it lies there, or of a claim, which is mounted.
 *
 * @param claimFolder where a claim is mounted
 * @throws FetchError `FETCH_NOT_FOUND`, `FETCH_UNSUPPORTED`, or `FETCH_URI_INVALID` for a link that leads out of a claim
 */
export async function fetchLocal(uri: LocalUri, claimFolder: (claim: string) => string, signal: AbortSignal): Promise<FetchedArtifact> {
  const mount = uri.scheme === 'pvc' ? claimFolder(uri.claim) : undefined;
  const path = mount === undefined ? uri.path : mount + uri.path;
  const fix = uri.scheme === 'pvc' ? `check that the claim ${uri.claim} is mounted and holds it` : 'correct the path';
  const missing = (cause: unknown): FetchError => new FetchError('FETCH_NOT_FOUND', uri.uri, `${path} cannot be read`, fix, { cause });
  try {
    const found = await stat(path);
    if (mount !== undefined && !(await realpath(path)).startsWith((await realpath(mount)) + sep))
      throw new FetchError('FETCH_URI_INVALID', uri.uri, 'is a link that leads out of the claim', 'put the file itself on the claim');
    const source = uri.scheme === 'pvc' ? uri.uri : `file:${basename(path)}`;
    if (found.isDirectory()) return { path, kind: 'folder', digest: null, source, fresh: true };
    if (found.isFile()) return { path, kind: 'file', digest: await sha256OfFile(path, signal), source, fresh: true };
  } catch (error) {
    if (error instanceof FetchError || signal.aborted) throw error;
    throw missing(error);
  }
  throw new FetchError('FETCH_UNSUPPORTED', uri.uri, `${path} is neither a file nor a folder`, fix);
}
