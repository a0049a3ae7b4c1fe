import { StoreError, type BundleStore } from '../../model/store/index.ts';
import type { Log } from '../log.ts';

/**
 * Deletes the bundles of a store that are not to be kept. What is in use stays, and so does, until the next time, what cannot be deleted now: the
 * new bundle is stored, and that is what counts.
 */
export async function pruneBundles(store: BundleStore, keep: ReadonlySet<string>, log: Log, signal: AbortSignal): Promise<void> {
  try {
    for (const { digest } of await store.list(signal)) {
      if (keep.has(digest)) continue;
      try {
        await store.delete(digest, signal);
        log.info({ bundle: digest }, 'old bundle deleted');
      } catch (error) {
        if (!(error instanceof StoreError) || error.code !== 'STORE_IN_USE') throw error;
        log.info({ bundle: digest }, 'old bundle is in use and stays');
      }
    }
  } catch (err) {
    if (signal.aborted) throw err;
    log.warn({ err }, 'old bundles cannot be deleted now');
  }
}
