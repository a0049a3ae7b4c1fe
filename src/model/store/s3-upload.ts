import { createHash } from 'node:crypto';
import type { CompletedPart } from '@aws-sdk/client-s3';
import { FetchError } from '../fetch/errors.ts';
import type { FetchLimits } from '../fetch/limits.ts';
import { retrying } from '../fetch/retry.ts';
import type { S3Connection, S3Work } from '../fetch/s3-client.ts';
import { s3ErrorName } from '../fetch/s3-refusal.ts';
import type { BlobContent } from './blobs.ts';
import { StoreError } from './errors.ts';
import { chunksOfFile } from './file-chunks.ts';

export interface UploadTarget {
  readonly bucket: string;
  readonly key: string;
  /** For messages. */
  readonly uri: string;
}

/** Parts in flight, which with their size is the memory that an upload takes: 32 MiB up to files of 80 GB. */
const concurrentParts = 4;
const minPartBytes = 8 * 2 ** 20;
const maxParts = 10_000;

/**
 * Sends a file that is not there yet, in parts where it is larger than one. Each part goes with its sha256, which the store checks, and the whole is compared with
 * `content` before the store is told that it is complete: an object of other bytes never appears. The object's metadata has its sha256.
 *
 * @throws StoreError `STORE_DIGEST_MISMATCH`; FetchError; the signal's reason
 */
export async function uploadObject(
  connection: S3Connection,
  target: UploadTarget,
  path: string,
  content: BlobContent,
  limits: FetchLimits,
  signal: AbortSignal,
): Promise<void> {
  const { sdk } = connection;
  const object = { Bucket: target.bucket, Key: target.key };
  const metadata = { Metadata: { sha256: content.sha256 }, ContentType: 'application/octet-stream' };
  const call = <T>(work: S3Work<T>, bytes = 0): Promise<T> =>
    retrying(() => connection.call(target.uri, signal, work, bytes), limits, signal);
  const isThere = async (): Promise<boolean> => {
    const found = await call((client, abortSignal) => client.send(new sdk.HeadObjectCommand(object), { abortSignal }).catch(unlessMissing));
    return found?.ContentLength === content.bytes && found.Metadata?.['sha256'] === content.sha256;
  };
  if (await isThere()) return;
  const partBytes = Math.max(minPartBytes, Math.ceil(content.bytes / maxParts));
  const whole = createHash('sha256');
  let read = 0;
  const assertContent = (): void => {
    if (read === content.bytes && whole.digest('hex') === content.sha256) return;
    throw new StoreError('STORE_DIGEST_MISMATCH', path, 'changed while it was stored', 'make the bundle again, and let nobody write to it');
  };
  const hear = (chunk: Uint8Array): string => {
    read += chunk.byteLength;
    whole.update(chunk);
    return createHash('sha256').update(chunk).digest('base64');
  };

  if (content.bytes <= partBytes) {
    const pieces: Uint8Array[] = [];
    for await (const chunk of chunksOfFile(path, signal, partBytes)) pieces.push(chunk);
    const body = Buffer.concat(pieces);
    const checksum = hear(body);
    assertContent();
    const put = { ...object, ...metadata, Body: body, ChecksumSHA256: checksum };
    await call((client, abortSignal) => client.send(new sdk.PutObjectCommand(put), { abortSignal }), body.byteLength);
    return;
  }

  const { UploadId } = await call((client, abortSignal) =>
    client.send(new sdk.CreateMultipartUploadCommand({ ...object, ...metadata, ChecksumAlgorithm: 'SHA256' }), { abortSignal }),
  );
  const upload = { ...object, UploadId };
  const inFlight = new Set<Promise<void>>();
  try {
    const parts: CompletedPart[] = [];
    const send = async (body: Uint8Array, ChecksumSHA256: string, PartNumber: number): Promise<void> => {
      const part = { ...upload, PartNumber, Body: body, ChecksumSHA256 };
      const { ETag } = await call((client, abortSignal) => client.send(new sdk.UploadPartCommand(part), { abortSignal }), body.byteLength);
      parts.push({ ETag, ChecksumSHA256, PartNumber });
    };
    let number = 0;
    for await (const chunk of chunksOfFile(path, signal, partBytes)) {
      if (inFlight.size >= concurrentParts) await Promise.race(inFlight);
      const part: Promise<void> = send(chunk, hear(chunk), ++number).finally(() => inFlight.delete(part));
      // its failure is met by the race or the wait for all
      part.catch(() => undefined);
      inFlight.add(part);
    }
    await Promise.all(inFlight);
    assertContent();
    const MultipartUpload = { Parts: parts.toSorted((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0)) };
    const complete = new sdk.CompleteMultipartUploadCommand({ ...upload, MultipartUpload });
    await call((client, abortSignal) => client.send(complete, { abortSignal })).catch(async (error: unknown) => {
      // an answer that is lost leaves an upload that is gone, because it is complete
      if (!(error instanceof FetchError && error.message.includes('NoSuchUpload') && (await isThere()))) throw error;
    });
  } catch (error) {
    await Promise.allSettled(inFlight);
    // parts cost as much as objects do; where this fails too, a later sweep does it
    const abort = new sdk.AbortMultipartUploadCommand(upload);
    await connection
      .call(target.uri, AbortSignal.timeout(5_000), (client, abortSignal) => client.send(abort, { abortSignal }))
      .catch(() => undefined);
    throw error;
  }
}

function unlessMissing(error: unknown): undefined {
  // a HEAD answer has no body that says more
  if (!['NotFound', 'NoSuchKey'].includes(s3ErrorName(error))) throw error;
}
