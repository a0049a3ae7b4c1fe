import type { Live } from '../../kube/index.ts';
import type { Job, Pod } from '../../kube/resources.ts';
import { progressAddress, stepProgress } from './progress-client.ts';
import type { ProgressClient, StepProgress } from './progress-client.ts';

/** How often pods are asked how far they are, in ms. */
export const scrapeMs = 10_000;

interface Scraped {
  readonly uid: string;
  readonly atMs: number;
  readonly progress: StepProgress | undefined;
}

/** Asks the pods of Jobs how far they are, not more often than every ten seconds however often it is called. Remembers nothing that matters. */
export class ProgressScraper {
  readonly #client: ProgressClient;
  readonly #now: () => Date;
  /** Of Jobs that run, by router. */
  readonly #known = new Map<string, readonly Scraped[]>();

  constructor(client: ProgressClient, now: () => Date) {
    this.#client = client;
    this.#now = now;
  }

  /** Of all Jobs of a router, in their order. */
  async progress(
    router: string,
    jobs: readonly { readonly job: Live<Job>; readonly pods: readonly Live<Pod>[] }[],
    signal: AbortSignal,
  ): Promise<readonly (StepProgress | undefined)[]> {
    const before = this.#known.get(router) ?? [];
    const scraped = await Promise.all(jobs.map(({ job, pods }) => this.#scrape(job, pods, before, signal)));
    const running = scraped.filter((each) => each !== undefined);
    if (running.length > 0) this.#known.set(router, running);
    else this.forget(router);
    return scraped.map((each) => each?.progress);
  }

  forget(router: string): void {
    this.#known.delete(router);
  }

  /** Undefined for a Job of which no pod runs. */
  async #scrape(job: Live<Job>, pods: readonly Live<Pod>[], before: readonly Scraped[], signal: AbortSignal): Promise<Scraped | undefined> {
    const { uid } = job.metadata;
    const addresses = pods.flatMap((pod) => progressAddress(pod) ?? []);
    if (addresses.length === 0) return undefined;
    const known = before.find((each) => each.uid === uid);
    const atMs = this.#now().getTime();
    if (known && atMs - known.atMs < scrapeMs - 500) return known;
    const reports = await Promise.all(addresses.map((address) => this.#client.report(address, signal)));
    const own = reports.filter((report) => report !== undefined);
    return { uid, atMs, progress: stepProgress(own, job.spec?.completions ?? 1, job.status?.succeeded ?? 0) ?? known?.progress };
  }
}
