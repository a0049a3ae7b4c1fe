import { BundleError } from '../../model/bundle-errors.ts';
import { checkBundleFits, openBundle, type Bundle } from '../../model/bundle.ts';
import type { FetchedArtifact } from '../../model/fetch/fetched-artifact.ts';
import type { BundleStore } from '../../model/store/index.ts';
import { PipelineError } from '../errors.ts';
import type { Log } from '../log.ts';
import { failingAs } from './failures.ts';

export interface CurrentBundle {
  readonly bundle: Bundle;
  readonly minRecall: number;
}

interface CurrentContext {
  readonly compare: { readonly uri: string; readonly minRecall: number; readonly isNeeded: boolean } | undefined;
  readonly slmFolder: string;
  readonly store: BundleStore;
  readonly fetch: (uri: string, signal: AbortSignal) => Promise<FetchedArtifact>;
  readonly cacheFolder: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * The bundle in use; undefined where there is none, it is of another SLM, whose rows these are not, or it cannot be had and nothing depends on
 * the comparison, such as after a move to another store (the log says so).
 *
 * @throws PipelineError `PIPELINE_COMPARE`, which may pass where a store is away
 */
export async function currentBundle(context: CurrentContext): Promise<CurrentBundle | undefined> {
  const { compare, log, signal } = context;
  if (!compare) return undefined;
  try {
    return await openCurrent(compare, context);
  } catch (error) {
    if (compare.isNeeded || signal.aborted || !(error instanceof PipelineError)) throw error;
    log.warn({ uri: compare.uri, why: error.message }, 'the bundle in use cannot be had: it is not compared with');
    return undefined;
  }
}

async function openCurrent(
  { uri, minRecall }: { readonly uri: string; readonly minRecall: number },
  { slmFolder, store, fetch, cacheFolder, log, signal }: CurrentContext,
): Promise<CurrentBundle | undefined> {
  const named = /(?:^|\/)([0-9a-f]{64})\/?$/.exec(uri)?.[1];
  return failingAs('PIPELINE_COMPARE', { field: '--compare' }, async () => {
    // what lies in this store is read as this process sees it, which need not have the volume mounted where routers do
    const isHere = named !== undefined && store.address(named) === uri.replace(/\/$/, '');
    const folder = isHere ? await store.get(named, cacheFolder, signal) : await fetchedFolder(uri, fetch, signal);
    const bundle = await openBundle(folder, signal);
    if (named !== undefined && bundle.digest !== named)
      throw new PipelineError('PIPELINE_COMPARE', `${uri} holds the bundle ${bundle.digest}`, 'store the bundle again', {
        field: '--compare',
      });
    try {
      await checkBundleFits(bundle, slmFolder, signal);
    } catch (error) {
      if (!(error instanceof BundleError) || error.code !== 'BUNDLE_SLM_MISMATCH') throw error;
      log.warn({ uri, why: error.message }, 'the bundle in use is of another SLM: it is not compared with');
      return undefined;
    }
    return { bundle, minRecall };
  });
}

async function fetchedFolder(uri: string, fetch: CurrentContext['fetch'], signal: AbortSignal): Promise<string> {
  const { path, kind } = await fetch(uri, signal);
  if (kind === 'folder') return path;
  throw new PipelineError('PIPELINE_COMPARE', `${uri} is no bundle`, "give the address of a bundle's folder", { field: '--compare' });
}
