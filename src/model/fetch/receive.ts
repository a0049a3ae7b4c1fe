import { statfs } from 'node:fs/promises';
import { FetchError } from './errors.ts';
import { discard, failure, type Answer, type Exchange } from './exchange.ts';
import { hasCode } from './partial-file.ts';

/** How far a download is. */
export interface FetchProgress {
  readonly receivedBytes: number;
  /** Of those, what an earlier try had received. */
  readonly resumedBytes: number;
  /** Undefined where the server does not say. */
  readonly totalBytes: number | undefined;
}

export interface Receiving extends Exchange {
  readonly cacheFolder: string;
  readonly progress?: ((progress: FetchProgress) => void) | undefined;
  /** Hears of every byte that was written. */
  readonly gained: (bytes: number) => void;
}

/** A download on its way, which grows at its end. */
export interface GrowingFile {
  /** Its length so far. */
  readonly bytes: number;
  append(chunk: Uint8Array): Promise<void>;
  /** Lets go of all that has arrived. */
  truncate(): Promise<void>;
}

/**
 * Appends a body to a partial file, as long as it comes fast enough.
 *
 * @param totalBytes of the whole file, the part that is there included
 * @throws FetchError `FETCH_TOO_LARGE`, `FETCH_NO_SPACE`, `FETCH_UNAVAILABLE`; the signal's reason
 */
export async function receive(answer: Answer, partial: GrowingFile, totalBytes: number | undefined, context: Receiving): Promise<void> {
  const { uri, limits, signal, progress, gained } = context;
  const resumedBytes = partial.bytes;
  let inWindow = 0;
  const watch = setInterval(() => {
    if (inWindow < limits.windowBytes) {
      const problem = `${answer.url.host} sent ${inWindow} bytes in ${limits.windowMs} ms`;
      answer.abort(new FetchError('FETCH_UNAVAILABLE', uri, problem, 'check the network, or try again later', { retryable: true }));
    }
    inWindow = 0;
  }, limits.windowMs);
  const report = (): void => progress?.({ receivedBytes: partial.bytes, resumedBytes, totalBytes });
  try {
    assertSize(totalBytes ?? 0, context);
    await assertRoom(totalBytes === undefined ? 0 : totalBytes - partial.bytes, context);
    report();
    for await (const chunk of answer.body) {
      inWindow += chunk.byteLength;
      assertSize(partial.bytes + chunk.byteLength, context);
      await partial.append(chunk);
      gained(chunk.byteLength);
      report();
    }
  } catch (error) {
    discard(answer);
    if (hasCode(error, 'ENOSPC', 'EDQUOT')) throw noSpace(uri, context.cacheFolder, error);
    throw failure(error, uri, answer.url, signal);
  } finally {
    clearInterval(watch);
  }
  if (totalBytes !== undefined && partial.bytes < totalBytes) {
    const problem = `${answer.url.host} ended after ${partial.bytes} of ${totalBytes} bytes`;
    throw new FetchError('FETCH_UNAVAILABLE', uri, problem, 'try again later', { retryable: true });
  }
}

function assertSize(bytes: number, { uri, limits }: Exchange): void {
  if (bytes <= limits.maxBytes) return;
  throw new FetchError(
    'FETCH_TOO_LARGE',
    uri,
    `is larger than ${limits.maxBytes} bytes`,
    'a checkpoint of a router network is smaller; correct the address',
  );
}

async function assertRoom(bytes: number, { uri, cacheFolder }: Receiving): Promise<void> {
  const { bavail, bsize } = await statfs(cacheFolder);
  if (bavail * bsize < bytes) throw noSpace(uri, cacheFolder);
}

export function noSpace(uri: string, cacheFolder: string, cause?: unknown): FetchError {
  const problem = `there is no room for it in ${cacheFolder}; what has arrived is kept`;
  return new FetchError('FETCH_NO_SPACE', uri, problem, 'free some space or give the cache a larger volume', { retryable: true, cause });
}
