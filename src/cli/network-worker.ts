import { parentPort, workerData } from 'node:worker_threads';
import { acquireBundle, type AcquiredBundle, type Acquisition, type AcquisitionStep } from './network-acquisition.ts';

export type AcquisitionMessage =
  | { readonly type: 'step'; readonly step: AcquisitionStep }
  | { readonly type: 'done'; readonly bundle: AcquiredBundle }
  | {
      readonly type: 'failed';
      readonly name: string;
      readonly code: string | undefined;
      readonly message: string;
      readonly retryable: boolean;
    };

/** The thread that fetches and imports: decryption, digests and quantisation would hold up the tokens of requests under way. */
const reportEveryMs = 250;
const stop = new AbortController();
parentPort?.once('message', () => stop.abort(new Error('stopped')));
const send = (message: AcquisitionMessage): void => parentPort?.postMessage(message);

let reportedAt = -Infinity;
const report = (step: AcquisitionStep): void => {
  const now = performance.now();
  if (step.step === 'download' && now - reportedAt < reportEveryMs) return;
  reportedAt = now;
  send({ type: 'step', step });
};

try {
  send({ type: 'done', bundle: await acquireBundle(workerData as Acquisition, report, stop.signal) });
} catch (error) {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const retryable = error instanceof Error && 'retryable' in error && error.retryable === true;
  send({ type: 'failed', name, code, message, retryable });
}
parentPort?.close();
