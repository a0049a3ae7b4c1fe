import { mkdir, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Agent, type Dispatcher } from 'undici';
import { FetchError } from '../fetch/errors.ts';
import type { Exchange } from '../fetch/exchange.ts';
import { completeHubFile, credentialsOf, endpointOf, type HubOptions } from '../fetch/hub.ts';
import { defaultLimits, type FetchLimits } from '../fetch/limits.ts';
import { hasCode } from '../fetch/partial-file.ts';
import { noSpace } from '../fetch/receive.ts';
import { retrying } from '../fetch/retry.ts';
import { DigestedFile } from './digested-file.ts';
import { FolderLock, type LockTiming } from './folder-lock.ts';
import { ModelFolder, type ModelFile, type ModelPlan } from './model-folder.ts';
import { fileUri, modelText, planModel, type HubModelUri } from './model-listing.ts';
import { inParallel } from './parallel.ts';

export type { HubModelUri };

/** What a download tells while it goes on. */
export interface ModelDownloadEvents {
  /** What there is to do is known. `presentBytes`: what an earlier try has brought. */
  planned?(plan: { readonly commit: string; readonly files: number; readonly totalBytes: number; readonly presentBytes: number }): void;
  /** So many bytes more are there; a negative number where some had to go. */
  changed?(bytes: number): void;
  /** A file is whole and checked. */
  finished?(path: string): void;
}

export interface ModelDownloadOptions {
  readonly hub: HubOptions;
  /** Where the model is to be; made when it is missing. Several processes may be told the same. */
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Files at a time. @default 4 */
  readonly atOnce?: number;
  readonly events?: ModelDownloadEvents;
  readonly limits?: Partial<FetchLimits>;
  /** @default directly, trusting what Node trusts */
  readonly dispatcher?: Dispatcher;
  readonly lock?: LockTiming;
}

export interface DownloadedModel {
  readonly folder: string;
  readonly commit: string;
  readonly files: number;
  readonly bytes: number;
  /** False: it was there. */
  readonly fresh: boolean;
}

/** A model's weights may have any length, and minutes of a hub that is away are worth waiting for. */
const modelLimits: FetchLimits = {
  ...defaultLimits,
  maxBytes: Number.MAX_SAFE_INTEGER,
  retryDelaysMs: [1_000, 2_000, 5_000, 10_000, 20_000],
  progressBytes: 16 * 2 ** 20,
};

const tokenField = 'spec.modelCache.tokenSecretRef';

/**
 * Brings a model of a Hugging Face hub into a folder, at the commit that its revision is when the first try begins. Only what is needed to serve
 * it is fetched (`chooseFiles`), several files at a time, each checked against the digest that the hub lists and resumed where an earlier try was
 * ended at any instant. The folder's manifest is written last. A folder that is whole is left as it is, without a question to the hub; of one
 * whose files have been lost, those are fetched again, at the same commit.
 *
 * @throws FetchError; the signal's reason
 */
export async function downloadModel(model: HubModelUri, options: ModelDownloadOptions): Promise<DownloadedModel> {
  const uri = modelText(model);
  const folder = new ModelFolder(options.folder);
  const limits = { ...modelLimits, ...options.limits };
  const own = new Agent({ connect: { timeout: limits.answerMs } });
  try {
    const lockPath = `${folder.path}.lock`;
    const whole = await folder.whole();
    if (whole) {
      await tidyUp(folder, lockPath, options);
      return told(folder, whole, false, options);
    }
    await mkdir(dirname(folder.path), { recursive: true });
    const lock = await FolderLock.acquire(lockPath, async () => (await folder.whole()) !== undefined, options.signal, options.lock);
    if (!lock) return await downloadModel(model, options);
    try {
      const signal = AbortSignal.any([options.signal, lock.lost]);
      const endpoint = endpointOf(options.hub, uri);
      const credentials = credentialsOf(endpoint, options.hub.token, uri);
      const context = { uri, limits, signal, dispatcher: options.dispatcher ?? own, credentials, tokenField };
      return await new ModelDownload(model, folder, endpoint, context, options).run();
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw explained(error, uri, folder.path);
  } finally {
    await own.destroy();
  }
}

/** Removes what one leaves that is killed right after it has written the manifest; one that lives does so itself, and is waited for. */
async function tidyUp(folder: ModelFolder, lockPath: string, { signal, lock: timing }: ModelDownloadOptions): Promise<void> {
  try {
    const isTidy = async (): Promise<boolean> => !(await folder.isUntidy()) && !(await FolderLock.leavesTraces(lockPath));
    const lock = await FolderLock.acquire(lockPath, isTidy, signal, timing);
    if (!lock) return;
    await folder.tidy().finally(() => lock.release());
  } catch {
    // a cache that cannot be written keeps it; the model is there all the same
    signal.throwIfAborted();
  }
}

/** One try, by the one who has the lock. */
class ModelDownload {
  readonly #model: HubModelUri;
  readonly #folder: ModelFolder;
  readonly #endpoint: URL;
  readonly #context: Exchange;
  readonly #options: ModelDownloadOptions;

  constructor(model: HubModelUri, folder: ModelFolder, endpoint: URL, context: Exchange, options: ModelDownloadOptions) {
    this.#model = model;
    this.#folder = folder;
    this.#endpoint = endpoint;
    this.#context = context;
    this.#options = options;
  }

  async run(): Promise<DownloadedModel> {
    await this.#folder.make();
    const manifest = await this.#folder.manifest();
    const begun = manifest ?? (await this.#folder.plan());
    try {
      return await this.#bring(begun ?? (await this.#plan()), manifest !== undefined);
    } catch (error) {
      // the commit may be gone since a branch was rewritten; what is the same in the new one stays
      if (!begun || manifest || !(error instanceof FetchError && error.code === 'FETCH_NOT_FOUND')) throw error;
      await this.#folder.dropPlan();
      return await this.#bring(await this.#plan(), false);
    }
  }

  async #plan(): Promise<ModelPlan> {
    const plan = await planModel(this.#model, this.#endpoint, this.#context);
    await this.#folder.writePlan(plan);
    return plan;
  }

  async #bring(plan: ModelPlan, hasManifest: boolean): Promise<DownloadedModel> {
    const { signal } = this.#context;
    const { events = {}, atOnce = 4 } = this.#options;
    const missing: ModelFile[] = [];
    for (const file of plan.files) if (!(await this.#folder.has(file, hasManifest, signal))) missing.push(file);
    const totalBytes = sum(plan.files.map(({ bytes }) => bytes));
    const begun = await Promise.all(missing.map((file) => this.#folder.partLength(file)));
    const leftBytes = sum(missing.map(({ bytes }) => bytes)) - sum(begun);
    events.planned?.({ commit: plan.commit, files: plan.files.length, totalBytes, presentBytes: totalBytes - leftBytes });
    await this.#assertRoom(leftBytes);
    // small ones first: what is wrong with the repository shows before the weights have come; of those the longest, which the others go beside
    const small = 2 ** 20;
    const ordered = missing.toSorted((a, b) => (a.bytes < small || b.bytes < small ? a.bytes - b.bytes : b.bytes - a.bytes));
    await inParallel(ordered, atOnce, signal, (file, stop) => this.#fetch(file, plan.commit, stop));
    await this.#folder.finish(plan);
    return { folder: this.#folder.path, commit: plan.commit, files: plan.files.length, bytes: totalBytes, fresh: true };
  }

  async #fetch(file: ModelFile, commit: string, signal: AbortSignal): Promise<void> {
    const { events = {} } = this.#options;
    const uri = fileUri(this.#model, file.path, commit);
    const context = { ...this.#context, uri: uri.uri, signal, cacheFolder: this.#folder.path };
    let mismatches = 0;
    const growing = await DigestedFile.open(this.#folder.part(file), file, (bytes) => events.changed?.(bytes), signal);
    try {
      await retrying(
        async (gained) => {
          await completeHubFile(growing, uri, this.#endpoint, { commit, etag: file.digest, bytes: file.bytes }, { ...context, gained });
          const digest = growing.digest();
          if (growing.bytes === file.bytes && digest === file.digest) return;
          await growing.truncate();
          const problem = `what ${this.#endpoint.host} sent has the digest ${digest}, and it lists ${file.digest}`;
          const fix = 'do not use this file; check the mirror or proxy that it comes through';
          throw new FetchError('FETCH_DIGEST_MISMATCH', uri.uri, problem, fix, { retryable: ++mismatches < 2 });
        },
        context.limits,
        signal,
      );
      await growing.settle(this.#folder.staged(file));
    } finally {
      await growing.close();
    }
    events.finished?.(file.path);
  }

  /** Before the first byte: hours later would be too late to say it. */
  async #assertRoom(bytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.#folder.path);
    const free = bavail * bsize;
    if (free >= bytes) return;
    const problem = `needs ${gibibytes(bytes)} more in ${this.#folder.path}, where ${gibibytes(free)} are free`;
    const fix = 'enlarge the volume (spec.modelCache.size), free some space, or use another claim';
    throw new FetchError('FETCH_NO_SPACE', this.#context.uri, problem, fix, { retryable: true });
  }
}

function told(folder: ModelFolder, { commit, files }: ModelPlan, fresh: boolean, { events }: ModelDownloadOptions): DownloadedModel {
  const bytes = sum(files.map((file) => file.bytes));
  events?.planned?.({ commit, files: files.length, totalBytes: bytes, presentBytes: bytes });
  return { folder: folder.path, commit, files: files.length, bytes, fresh };
}

function explained(error: unknown, uri: string, folder: string): unknown {
  if (error instanceof FetchError) return error;
  if (hasCode(error, 'ENOSPC', 'EDQUOT')) return noSpace(uri, folder, error);
  if (!hasCode(error, 'EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'EIO', 'ESTALE')) return error;
  const fix = 'make it a folder that user and group 10001 can write';
  return new FetchError('FETCH_CACHE', uri, `the cache ${folder} cannot be used (${String(error)})`, fix, { cause: error });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(bytes < 2 ** 30 ? 3 : 1)} GiB`;
}
