import { mkdir } from 'node:fs/promises';
import { Agent, type Dispatcher } from 'undici';
import { parseArtifactUri, type RemoteUri } from './artifact-uri.ts';
import { fetchBundle } from './bundle-folder.ts';
import { FetchError } from './errors.ts';
import type { FetchedArtifact } from './fetched-artifact.ts';
import { fetchFromHub, type HubOptions } from './hub.ts';
import { defaultLimits, type FetchLimits } from './limits.ts';
import { fetchLocal } from './local.ts';
import { hasCode } from './partial-file.ts';
import { noSpace, type FetchProgress } from './receive.ts';
import { fetchFromS3 } from './s3.ts';
import type { S3Settings } from './s3-settings.ts';
import { fetchFromWeb } from './web.ts';

export interface FetchOptions {
  /** Where downloads are kept; made when it is missing. Several processes may share it. */
  readonly cacheFolder: string;
  readonly hub: HubOptions;
  /** Which object store `s3://` addresses are of. @default none: they are refused */
  readonly s3?: S3Settings | undefined;
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
 * Makes a file or folder of this machine of an address: an absolute path, `pvc://<claim>/<path>`, `https://<host>/<path>`,
 * `s3://<bucket>/<key>` or `hf://<org>/<repo>/<file>@<revision>`. What is downloaded is a `.pt` checkpoint, or a bundle's folder by its digest,
 * which then is the last part of the path; it is there whole or not at all, and a download that was interrupted at any instant goes on where it
 * ended. Nothing of it is executed, and of a bundle only the manifest is looked into.
 *
 * @throws FetchError; BundleError of a downloaded manifest that cannot be read; the signal's reason
 */
export async function fetchArtifact(address: string, options: FetchOptions): Promise<FetchedArtifact> {
  const { cacheFolder, hub, s3, claimFolder, signal, progress } = options;
  const uri = parseArtifactUri(address);
  if (uri.scheme === 'path' || uri.scheme === 'pvc') return fetchLocal(uri, claimFolder, signal);
  const limits = { ...defaultLimits, ...options.limits };
  const own = new Agent({ connect: { timeout: limits.answerMs } });
  const dispatcher = options.dispatcher ?? own;
  const fetchFile = (file: RemoteUri, folder = cacheFolder, more: Partial<FetchLimits> = {}): Promise<FetchedArtifact> => {
    const context = { uri: file.uri, cacheFolder: folder, limits: { ...limits, ...more }, signal, progress, dispatcher };
    if (file.scheme === 'hf') return fetchFromHub(file, hub, context);
    return file.scheme === 's3' ? fetchFromS3(file, s3, context) : fetchFromWeb(file, context);
  };
  try {
    await mkdir(cacheFolder, { recursive: true });
    const { bundle } = uri;
    return await (bundle === undefined ? fetchFile(uri) : fetchBundle({ ...uri, bundle }, cacheFolder, fetchFile, signal));
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
