import { mkdir } from 'node:fs/promises';
import { Agent, type Dispatcher } from 'undici';
import { parseArtifactUri } from './artifact-uri.ts';
import { FetchError } from './errors.ts';
import type { FetchedArtifact } from './fetched-artifact.ts';
import { fetchFromHub, type HubOptions } from './hub.ts';
import { defaultLimits, type FetchLimits } from './limits.ts';
import { fetchLocal } from './local.ts';
import { hasCode } from './partial-file.ts';
import { noSpace, type FetchProgress } from './receive.ts';
import { fetchFromWeb } from './web.ts';

export interface FetchOptions {
  /** Where downloads are kept; made when it is missing. Several processes may share it. */
  readonly cacheFolder: string;
  readonly hub: HubOptions;
  /** Where a claim is mounted. */
  readonly claimFolder: (claim: string) => string;
  readonly signal: AbortSignal;
  /** Hears of every piece of a download. */
  readonly progress?: (progress: FetchProgress) => void;
  readonly limits?: Partial<FetchLimits>;
  /** What connections are made with: proxies, certificates. @default directly, trusting what Node trusts */
  readonly dispatcher?: Dispatcher;
}

/**
 * Makes a file or folder of this machine of an address: an absolute path, `pvc://<claim>/<path>`, `https://<host>/<path>` or
 * `hf://<org>/<repo>/<file>@<revision>`. What is downloaded is a `.pt` checkpoint; it is there whole or not at all, and a download that was
 * interrupted at any instant goes on where it ended. Nothing of it is executed or looked into.
 *
 * @throws FetchError; the signal's reason
 */
export async function fetchArtifact(address: string, options: FetchOptions): Promise<FetchedArtifact> {
  const { cacheFolder, hub, claimFolder, signal, progress } = options;
  const uri = parseArtifactUri(address);
  if (uri.scheme === 'path' || uri.scheme === 'pvc') return fetchLocal(uri, claimFolder, signal);
  const limits = { ...defaultLimits, ...options.limits };
  const own = new Agent({ connect: { timeout: limits.answerMs } });
  const dispatcher = options.dispatcher ?? own;
  const context = { uri: address, cacheFolder, limits, signal, progress, dispatcher };
  try {
    await mkdir(cacheFolder, { recursive: true });
    return await (uri.scheme === 'hf' ? fetchFromHub(uri, hub, context) : fetchFromWeb(uri, context));
  } catch (error) {
    if (hasCode(error, 'ENOSPC', 'EDQUOT')) throw noSpace(address, cacheFolder, error);
    if (hasCode(error, 'EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'EIO'))
      throw new FetchError(
        'FETCH_CACHE',
        address,
        `the cache ${cacheFolder} cannot be used (${String(error)})`,
        'make it a folder that can be written',
        {
          cause: error,
        },
      );
    throw error;
  } finally {
    await own.destroy();
  }
}
