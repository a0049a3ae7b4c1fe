import type { FetchProgress } from '../model/fetch/index.ts';
import type { AcquisitionStep } from './network-acquisition.ts';

/** Says for people what an acquisition is doing: of a download how far it is, how fast, and how long it will still take. */
export function acquisitionText(now: () => number): (step: AcquisitionStep) => string {
  let startedMs: number | undefined;
  return (step) => {
    if (step.step !== 'download') return importText(step);
    startedMs ??= now();
    return downloadText(step.progress, (now() - startedMs) / 1000);
  };
}

function downloadText({ receivedBytes, resumedBytes, totalBytes }: FetchProgress, seconds: number): string {
  const bytesPerSecond = seconds > 0 ? (receivedBytes - resumedBytes) / seconds : 0;
  const speed = bytesPerSecond > 0 ? `, ${megabytes(bytesPerSecond)}/s` : '';
  if (totalBytes === undefined || totalBytes === 0) return `downloading the checkpoint: ${megabytes(receivedBytes)}${speed}`;
  const percent = Math.floor((100 * receivedBytes) / totalBytes);
  const left = bytesPerSecond > 0 ? `, ${Math.ceil((totalBytes - receivedBytes) / bytesPerSecond)} s left` : '';
  return `downloading the checkpoint: ${percent} % of ${megabytes(totalBytes)}${speed}${left}`;
}

function importText(step: Exclude<AcquisitionStep, { readonly step: 'download' }>): string {
  switch (step.step) {
    case 'checkpoint':
      return 'reading the checkpoint';
    case 'slm':
      return "reading the SLM's embedding and LM head";
    case 'network':
      return `building the network in ${step.precision}`;
    case 'embedding':
      return 'comparing embeddings';
    case 'calibration':
    case 'comparison':
      return 'comparing precisions';
    case 'manifest':
      return 'finishing the bundle';
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
