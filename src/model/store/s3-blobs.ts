import { Agent } from 'undici';
import { fetchBundle } from '../fetch/bundle-folder.ts';
import { FetchError } from '../fetch/errors.ts';
import { defaultLimits, type FetchLimits } from '../fetch/limits.ts';
import { parseArtifactUri } from '../fetch/artifact-uri.ts';
import type { FetchProgress } from '../fetch/receive.ts';
import { retrying } from '../fetch/retry.ts';
import { S3Connection, type S3Work } from '../fetch/s3-client.ts';
import { fetchFromS3 } from '../fetch/s3.ts';
import type { S3Settings } from '../fetch/s3-settings.ts';
import { assertKey, maxSmallBytes, type BlobContent, type BlobInfo, type Blobs } from './blobs.ts';
import { StoreError } from './errors.ts';
import { uploadObject, type UploadTarget } from './s3-upload.ts';

export interface S3BlobsOptions {
  readonly bucket: string;
  /** Of all keys, without slashes at its ends. @default none */
  readonly prefix?: string;
  readonly settings: S3Settings;
  readonly limits?: Partial<FetchLimits>;
  readonly progress?: (progress: FetchProgress) => void;
}

/** A bucket of an S3-compatible store, or the part of it under a prefix. Transient failures are tried again as the limits say. */
export class S3Blobs implements Blobs {
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #settings: S3Settings;
  readonly #limits: FetchLimits;
  readonly #progress: ((progress: FetchProgress) => void) | undefined;
  #opened: Promise<S3Connection> | undefined;

  /** @throws StoreError `STORE_INVALID` */
  constructor({ bucket, prefix = '', settings, limits, progress }: S3BlobsOptions) {
    if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket) || bucket.includes('..'))
      throw new StoreError(
        'STORE_INVALID',
        `s3://${bucket.slice(0, 80)}`,
        'bucket: is no name of a bucket',
        'use 3 to 63 of a-z, 0-9, "." and "-"',
      );
    if (prefix !== '') assertKey(prefix, 500);
    this.#bucket = bucket;
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
    this.#settings = settings;
    this.#limits = { ...defaultLimits, ...limits };
    this.#progress = progress;
  }

  address(key: string): string {
    return `s3://${this.#bucket}/${this.#prefix}${key}`;
  }

  /** Ends the connections; the next call makes new ones. */
  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    (await opened?.catch(() => undefined))?.close();
  }

  async read(key: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { connection, target } = await this.#at(key);
    try {
      return await retrying(() => connection.readSmall(target.bucket, target.key, maxSmallBytes, signal), this.#limits, signal);
    } catch (error) {
      if (error instanceof FetchError && error.code === 'FETCH_NOT_FOUND' && !isBucketMissing(error)) return undefined;
      throw error;
    }
  }

  async write(key: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const { connection, target } = await this.#at(key);
    const put = new connection.sdk.PutObjectCommand({
      Bucket: target.bucket,
      Key: target.key,
      Body: bytes,
      ContentType: 'application/json',
    });
    await this.#call(target.uri, (client, abortSignal) => client.send(put, { abortSignal }), signal, bytes.byteLength);
  }

  async upload(key: string, path: string, content: BlobContent, signal: AbortSignal): Promise<void> {
    const { connection, target } = await this.#at(key);
    await uploadObject(connection, target, path, content, this.#limits, signal);
  }

  async list(folder: string, signal: AbortSignal): Promise<readonly BlobInfo[]> {
    const { connection, target } = await this.#at(folder.replace(/\/$/, ''));
    const found: BlobInfo[] = [];
    for (let token: string | undefined, first = true; first || token !== undefined; first = false) {
      const page = new connection.sdk.ListObjectsV2Command({
        Bucket: target.bucket,
        Prefix: `${target.key}/`,
        ...(token !== undefined && { ContinuationToken: token }),
      });
      const {
        Contents = [],
        NextContinuationToken,
        IsTruncated,
      } = await this.#call(`${target.uri}/`, (client, abortSignal) => client.send(page, { abortSignal }), signal);
      for (const { Key = '', Size = 0, LastModified } of Contents)
        if (Key.startsWith(`${target.key}/`) && !Key.endsWith('/'))
          found.push({ key: Key.slice(this.#prefix.length), bytes: Size, writtenMs: LastModified?.getTime() ?? 0 });
      token = IsTruncated === true ? NextContinuationToken : undefined;
    }
    return found;
  }

  async remove(key: string, signal: AbortSignal): Promise<void> {
    const { connection, target } = await this.#at(key);
    const command = new connection.sdk.DeleteObjectCommand({ Bucket: target.bucket, Key: target.key });
    try {
      await this.#call(target.uri, (client, abortSignal) => client.send(command, { abortSignal }), signal);
    } catch (error) {
      // Amazon's answers success, others that there is nothing
      if (!(error instanceof FetchError && error.code === 'FETCH_NOT_FOUND') || isBucketMissing(error)) throw error;
    }
  }

  async fetchBundle(folder: string, digest: string, cacheFolder: string, signal: AbortSignal): Promise<string> {
    assertKey(folder);
    const uri = parseArtifactUri(this.address(folder));
    if (uri.scheme !== 's3' || uri.bundle !== digest)
      throw new StoreError('STORE_INVALID', this.address(folder), `is not the folder of ${digest}`, 'correct the digest');
    const dispatcher = new Agent();
    try {
      const { path } = await fetchBundle(
        { ...uri, bundle: digest },
        cacheFolder,
        (file, pieces, more) => {
          if (file.scheme !== 's3') throw new TypeError(`${file.uri} is no object`);
          const limits = { ...this.#limits, ...more };
          return fetchFromS3(file, this.#settings, {
            uri: file.uri,
            cacheFolder: pieces,
            limits,
            signal,
            dispatcher,
            progress: this.#progress,
          });
        },
        signal,
      );
      return path;
    } finally {
      await dispatcher.close();
    }
  }

  async sweep(olderThanMs: number, signal: AbortSignal): Promise<void> {
    const { connection, target } = await this.#at('bundles');
    const list = new connection.sdk.ListMultipartUploadsCommand({ Bucket: target.bucket, Prefix: `${target.key}/` });
    const { Uploads = [] } = await this.#call(`${target.uri}/`, (client, abortSignal) => client.send(list, { abortSignal }), signal);
    for (const { Key, UploadId, Initiated } of Uploads) {
      if (Key === undefined || !Key.startsWith(`${target.key}/`) || (Initiated?.getTime() ?? Infinity) >= olderThanMs) continue;
      const abort = new connection.sdk.AbortMultipartUploadCommand({ Bucket: target.bucket, Key, UploadId });
      await this.#call(`s3://${target.bucket}/${Key}`, (client, abortSignal) => client.send(abort, { abortSignal }), signal);
    }
  }

  async #at(key: string): Promise<{ readonly connection: S3Connection; readonly target: UploadTarget }> {
    assertKey(key);
    const target = { bucket: this.#bucket, key: this.#prefix + key, uri: this.address(key) };
    return { connection: await this.#connection(), target };
  }

  #connection(): Promise<S3Connection> {
    this.#opened ??= S3Connection.open(this.#settings, this.#limits, `s3://${this.#bucket}`).catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    });
    return this.#opened;
  }

  async #call<T>(uri: string, work: S3Work<T>, signal: AbortSignal, sentBytes = 0): Promise<T> {
    const connection = await this.#connection();
    return retrying(() => connection.call(uri, signal, work, sentBytes), this.#limits, signal);
  }
}

function isBucketMissing(error: FetchError): boolean {
  return error.message.includes('(NoSuchBucket)');
}
