import { Worker } from 'node:worker_threads';
import type { FetchLimits, S3Settings } from '../model/fetch/index.ts';
import type { LoadNetwork, Log } from '../router/index.ts';
import { openScoring, type Scoring } from '../router/scoring/index.ts';
import { acquisitionText } from './acquisition-text.ts';
import { tidyCache } from './bundle-cache.ts';
import { hubOptions, type HubSettings } from './hub-settings.ts';
import type { AcquiredBundle, Acquisition, AcquisitionStep } from './network-acquisition.ts';
import type { AcquisitionMessage } from './network-worker.ts';

export interface NetworkLoaderOptions {
  readonly slmFolder: string;
  /** Downloads and bundles; several routers may share it. */
  readonly cacheFolder: string;
  readonly hub: HubSettings;
  /** Which object store s3:// addresses are of. @default none: they are refused */
  readonly s3?: S3Settings;
  /** Threads one run of the network may use. */
  readonly threads: number;
  readonly log: Log;
  readonly limits?: Partial<FetchLimits>;
}

/** Why there is no bundle; the message is that of the FetchError, CheckpointError, NetworkError or BundleError in the other thread. */
export class NetworkLoadError extends Error {
  override readonly name: string;
  readonly code: string | undefined;
  /** Whether the same load may succeed later. */
  readonly retryable: boolean;

  constructor({ name, code, message, retryable }: Omit<Extract<AcquisitionMessage, { type: 'failed' }>, 'type'>) {
    super(message);
    this.name = name;
    this.code = code;
    this.retryable = retryable;
  }
}

/** A thread that has not stopped by then is ended; downloads are kept in any case. */
const stopMs = 5_000;

/** Loads router networks by address: fetches and imports in a thread of its own, then opens what came of it. */
export function networkLoader({ slmFolder, cacheFolder, hub, s3, threads, log, limits }: NetworkLoaderOptions): LoadNetwork {
  return async ({ uri, precision, device }, report, signal): Promise<Scoring> => {
    const text = acquisitionText(() => performance.now());
    const acquisition = { uri, precision, slmFolder, cacheFolder, hub: await hubOptions(hub, uri ?? ''), s3, limits };
    const { folder, source, fresh } = await acquire(acquisition, (step) => report(text(step)), signal);
    if (!fresh) log.warn({ uri, source }, 'the server of the checkpoint cannot be asked; what it had the last time is loaded');
    report('loading the network');
    const scoring = await openScoring({ bundleFolder: folder, slmFolder, precision, device, threads });
    log.info({ uri, source, bundle: scoring.digest, folder }, 'router network loaded');
    void tidyCache(cacheFolder).catch((err: unknown) => log.warn({ err, cacheFolder }, 'old bundles cannot be removed'));
    return scoring;
  };
}

/** `acquireBundle` in a thread. @throws NetworkLoadError; the signal's reason */
async function acquire(acquisition: Acquisition, report: (step: AcquisitionStep) => void, signal: AbortSignal): Promise<AcquiredBundle> {
  signal.throwIfAborted();
  const worker = new Worker(new URL(import.meta.url.endsWith('.ts') ? './network-worker.ts' : './network-worker.js', import.meta.url), {
    name: 'router-network-import',
    workerData: acquisition,
  });
  worker.unref();
  const acquired = Promise.withResolvers<AcquiredBundle>();
  const fail = (message: string): void =>
    acquired.reject(new NetworkLoadError({ name: 'Error', code: undefined, message, retryable: true }));
  worker.on('message', (message: AcquisitionMessage) => {
    if (message.type === 'step') report(message.step);
    else if (message.type === 'done') acquired.resolve(message.bundle);
    else acquired.reject(new NetworkLoadError(message));
  });
  worker.once('error', (error) => fail(`the thread that imports checkpoints failed: ${String(error)}`));
  worker.once('exit', (code) => fail(`the thread that imports checkpoints ended with code ${code}`));
  const stop = (): void => {
    acquired.reject(signal.reason as Error);
    worker.postMessage('stop');
    const timer = setTimeout(() => void worker.terminate(), stopMs).unref();
    worker.once('exit', () => clearTimeout(timer));
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await acquired.promise;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
