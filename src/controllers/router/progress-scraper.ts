import type { Live } from '../../kube/index.ts';
import type { Job, Pod } from '../../kube/resources.ts';
import { progressAddress, stepProgress } from './progress-client.ts';
import type { ProgressClient, StepProgress } from './progress-client.ts';

/** How often pods are asked how far they are, in ms. */
export const scrapeMs = 10_000;

/** Asks the pods of Jobs how far they are, not more often than every ten seconds however often it is called. Remembers nothing that matters. */
export class ProgressScraper {
  readonly #client: ProgressClient;
  readonly #now: () => Date;
  /** By the Job's UID. */
  readonly #known = new Map<string, { readonly atMs: number; readonly progress: StepProgress | undefined }>();

  constructor(client: ProgressClient, now: () => Date) {
    this.#client = client;
    this.#now = now;
  }

  async progress(job: Live<Job>, pods: readonly Live<Pod>[], signal: AbortSignal): Promise<StepProgress | undefined> {
    const { uid } = job.metadata;
    const addresses = pods.flatMap((pod) => progressAddress(pod) ?? []);
    if (addresses.length === 0) {
      this.#known.delete(uid);
      return undefined;
    }
    const known = this.#known.get(uid);
    const nowMs = this.#now().getTime();
    if (known && nowMs - known.atMs < scrapeMs - 500) return known.progress;
    const reports = await Promise.all(addresses.map((address) => this.#client.report(address, signal)));
    const own = reports.filter((report) => report !== undefined);
    const progress = stepProgress(own, job.spec?.completions ?? 1, job.status?.succeeded ?? 0) ?? known?.progress;
    this.#known.set(uid, { atMs: nowMs, progress });
    return progress;
  }

  /** Forgets Jobs that are gone. */
  retain(uids: ReadonlySet<string>): void {
    for (const uid of this.#known.keys()) if (!uids.has(uid)) this.#known.delete(uid);
  }
}
