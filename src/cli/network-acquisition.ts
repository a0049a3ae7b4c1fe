import { createHash } from 'node:crypto';
import { rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvHttpProxyAgent } from 'undici';
import { claimFolder } from '../api/claim.ts';
import { openBundle, openSlmTables, slmDigests } from '../model/bundle.ts';
import { bundleFormatVersion, bundleManifestFile, type Precision } from '../model/bundle-manifest.ts';
import { fetchArtifact, type FetchLimits, type FetchProgress, type HubOptions, type S3Settings } from '../model/fetch/index.ts';
import { importCheckpoint, type ImportStep } from '../model/import-bundle.ts';
import { loadSlmConfig } from '../model/slm-config.ts';
import { bundlesFolder } from './bundle-cache.ts';

/** A bundle that is to be had. Plain data: it goes to another thread. */
export interface Acquisition {
  /** Of a checkpoint or a bundle; null: a bundle without a network. */
  readonly uri: string | null;
  readonly precision: Precision;
  readonly slmFolder: string;
  readonly cacheFolder: string;
  readonly hub: HubOptions;
  /** Which object store s3:// addresses are of. */
  readonly s3: S3Settings | undefined;
  readonly limits: Partial<FetchLimits> | undefined;
}

export interface AcquiredBundle {
  readonly folder: string;
  /** The address with its version, for the log. */
  readonly source: string;
  /** False: its server could not be asked whether there is a newer one. */
  readonly fresh: boolean;
}

export type AcquisitionStep = { readonly step: 'download'; readonly progress: FetchProgress } | ImportStep;

/**
 * Fetches a checkpoint and imports it for the router's SLM, or finds the bundle that was made of it before. The bundle is the same wherever it is
 * made: it depends on the address as it is configured, the checkpoint, the SLM and the precision, and is compared with nothing.
 *
 * @throws FetchError; what `importCheckpoint` throws; the signal's reason
 */
export async function acquireBundle(
  { uri, precision, slmFolder, cacheFolder, hub, s3, limits }: Acquisition,
  report: (step: AcquisitionStep) => void,
  signal: AbortSignal,
): Promise<AcquiredBundle> {
  const artifact =
    uri === null
      ? undefined
      : await fetchArtifact(uri, {
          cacheFolder,
          hub,
          s3,
          claimFolder,
          signal,
          progress: (progress) => report({ step: 'download', progress }),
          dispatcher: new EnvHttpProxyAgent(),
          ...(limits && { limits }),
        });
  const { source = 'the SLM alone', fresh = true } = artifact ?? {};
  if (artifact?.kind === 'folder') return { folder: artifact.path, source, fresh };
  report({ step: 'slm' });
  // a branch may have moved without the file: that gives no other bundle
  const named = uri?.startsWith('hf://') ? uri : source;
  const key = [bundleFormatVersion, named, artifact?.digest ?? null, precision, await slmKey(slmFolder, signal)];
  const folder = join(bundlesFolder(cacheFolder), createHash('sha256').update(JSON.stringify(key)).digest('hex'));
  const usable = await openBundle(folder, signal).catch((error: unknown) => {
    if (signal.aborted) throw error;
    return undefined;
  });
  if (!usable) {
    await rm(folder, { recursive: true, force: true });
    const checkpointPath = artifact?.path ?? null;
    await importCheckpoint(
      { checkpointPath, slmFolder, outFolder: folder, precisions: [precision], source: named, progress: report },
      signal,
    );
  }
  const now = new Date();
  await utimes(join(folder, bundleManifestFile), now, now);
  return { folder, source, fresh };
}

/** What a bundle takes from its SLM. */
async function slmKey(slmFolder: string, signal: AbortSignal): Promise<readonly unknown[]> {
  const { logitsType, modelType, hubName } = await loadSlmConfig(slmFolder);
  const tables = await openSlmTables(slmFolder);
  try {
    const { embedding, lmHead } = await slmDigests(tables, signal);
    return [embedding, lmHead, logitsType, modelType, hubName ?? null];
  } finally {
    await tables.close();
  }
}
