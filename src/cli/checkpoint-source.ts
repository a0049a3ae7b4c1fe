import { basename } from 'node:path';

/** A checkpoint that is a file of this machine now. */
export interface ResolvedSource {
  readonly path: string;
  /** Where it came from, for the bundle's manifest: nothing that names a place of this machine. */
  readonly source: string;
  /** Removes what was fetched. */
  dispose(): Promise<void>;
}

/** A place that checkpoints cannot be had from. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly code = 'SOURCE_UNSUPPORTED';
}

/**
 * Makes a file of what the user named. What has no scheme is a path, never the name of a repository.
 *
 * @throws SourceError naming the scheme
 */
export function resolveSource(uri: string): Promise<ResolvedSource> {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(uri)?.[1]?.toLowerCase();
  if (scheme !== undefined)
    return Promise.reject(new SourceError(`${uri}: checkpoints are not fetched over ${scheme}; download the file and give its path`));
  return Promise.resolve({ path: uri, source: `file:${basename(uri)}`, dispose: () => Promise.resolve() });
}
