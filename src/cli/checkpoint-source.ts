import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { claimFolder } from '../api/claim.ts';
import type { FetchProgress } from '../model/fetch/index.ts';
import { hubSettings } from './hub-settings.ts';

/** A checkpoint that is a file of this machine now. */
export interface ResolvedSource {
  readonly path: string;
  /** Where it came from, for the bundle's manifest: nothing that names a place of this machine. */
  readonly source: string;
}

/** A place that a checkpoint cannot be had from. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly code = 'SOURCE_UNSUPPORTED';
}

export interface SourceOptions {
  /** `HF_ENDPOINT` and `HF_TOKEN` as Hugging Face's own programs read them, `XDG_CACHE_HOME`. */
  readonly environment: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly progress?: (progress: FetchProgress) => void;
}

/**
 * Makes a file of what the user named: a path, `https://`, `hf://org/repo/file@revision` or `pvc://`. What has no scheme is a path of this
 * machine, never the name of a repository.
 *
 * @throws SourceError, FetchError; the signal's reason
 */
export async function resolveSource(uri: string, { environment, signal, progress }: SourceOptions): Promise<ResolvedSource> {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(uri)) return { path: uri, source: `file:${basename(uri)}` };
  const { fetchArtifact } = await import('../model/fetch/index.ts');
  const { EnvHttpProxyAgent } = await import('undici');
  const { path, source, kind } = await fetchArtifact(uri, {
    cacheFolder: join(environment['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'r2r', 'checkpoints'),
    hub: hubSettings({}, environment),
    claimFolder,
    signal,
    dispatcher: new EnvHttpProxyAgent(),
    ...(progress && { progress }),
  });
  if (kind === 'folder') throw new SourceError(`${uri}: is a folder; name the .pt file in it`);
  return { path, source };
}
