import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { arriving } from './arriving.ts';
import { FetchError } from './errors.ts';
import type { Answer } from './exchange.ts';
import type { FetchLimits } from './limits.ts';
import { s3ErrorName, s3Refusal } from './s3-refusal.ts';
import { assertS3Settings, readS3Keys, type S3Settings } from './s3-settings.ts';

type Sdk = typeof import('@aws-sdk/client-s3');

/** What is done with the client in one call, until the signal. */
export type S3Work<T> = (client: S3Client, abortSignal: AbortSignal) => Promise<T>;

/** How an object is asked for. */
export interface S3Question {
  /** As in the header `range`. */
  readonly range?: string | undefined;
  /** Entity tag that the range is of. */
  readonly ifMatch?: string | undefined;
  readonly ifNoneMatch?: string | undefined;
}

/**
 * The SDK's client, set up from settings: one try a call (whoever calls has a policy of retrying), a time limit for each, and its errors made
 * FetchErrors that name the object. It brings 25 packages (22 MB), and with them web and pod identity, checksums of parts and correction of the
 * clock, which nobody should write again; aws4fetch only signs, s3-lite-client goes over the global fetch, which takes no authority of one's
 * own, and minio-js brings lodash and two readers of XML. Loading takes 0.14 s and 21 MB, so it is loaded only where S3 is used.
 */
export class S3Connection {
  readonly endpoint: URL;
  readonly sdk: Sdk;
  readonly #client: S3Client;
  readonly #limits: FetchLimits;

  private constructor(sdk: Sdk, client: S3Client, endpoint: URL, limits: FetchLimits) {
    this.sdk = sdk;
    this.#client = client;
    this.endpoint = endpoint;
    this.#limits = limits;
  }

  /** Connects to nothing yet. @throws FetchError `FETCH_URI_INVALID`, `FETCH_UNTRUSTED` */
  static async open(settings: S3Settings, limits: FetchLimits, uri: string): Promise<S3Connection> {
    assertS3Settings(settings, uri);
    const { endpoint, region = 'us-east-1', pathStyle = endpoint !== undefined, caFile, credentialsFolder } = settings;
    const ca = caFile === undefined ? undefined : await readAuthorities(caFile, uri);
    const sdk = await import('@aws-sdk/client-s3');
    const client = new sdk.S3Client({
      region,
      forcePathStyle: pathStyle,
      ...(endpoint !== undefined && { endpoint }),
      ...(credentialsFolder !== undefined && {
        // a Secret may change: keys that expire are asked for again
        credentials: async () => ({ ...(await readS3Keys(credentialsFolder, uri)), expiration: new Date(Date.now() + 60_000) }),
      }),
      maxAttempts: 1,
      // bytes are checked by sha256 here, and CRCs are unknown to older stores
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        connectionTimeout: limits.answerMs,
        httpAgent: { keepAlive: true, maxSockets: 16 },
        httpsAgent: { keepAlive: true, maxSockets: 16, ...(ca !== undefined && { ca }) },
      },
      // it would print to the console
      logger: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
    });
    return new S3Connection(sdk, client, new URL(endpoint ?? `https://s3.${region}.amazonaws.com`), limits);
  }

  close(): void {
    this.#client.destroy();
  }

  /**
   * Makes one call.
   *
   * @param sentBytes of its body, which lengthen the time that it may take as the limits say
   * @throws FetchError; the signal's reason
   */
  async call<T>(uri: string, signal: AbortSignal, work: S3Work<T>, sentBytes = 0): Promise<T> {
    signal.throwIfAborted();
    const { answerMs, windowMs, windowBytes } = this.#limits;
    const limitMs = answerMs + (sentBytes / windowBytes) * windowMs;
    const abort = new AbortController();
    const problem = `${this.endpoint.host} did not answer within ${Math.round(limitMs)} ms`;
    const late = new FetchError('FETCH_UNAVAILABLE', uri, problem, 'check the network, or try again later', { retryable: true });
    const timer = setTimeout(() => abort.abort(late), limitMs);
    try {
      return await work(this.#client, AbortSignal.any([signal, abort.signal]));
    } catch (error) {
      throw s3Refusal(abort.signal.aborted ? late : error, uri, this.endpoint, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  /** An object as a server's answer, of status 200, 206, 304, or 416. Asks for all of it where the range's version has gone. */
  async get(bucket: string, key: string, question: S3Question, signal: AbortSignal): Promise<Answer> {
    const uri = `s3://${bucket}/${key}`;
    const { range, ifMatch, ifNoneMatch } = question;
    return this.call(uri, signal, async (client, abort) => {
      try {
        const command = new this.sdk.GetObjectCommand({
          Bucket: bucket,
          Key: key,
          Range: range,
          IfMatch: ifMatch,
          IfNoneMatch: ifNoneMatch,
        });
        const output = await client.send(command, { abortSignal: abort });
        if (!(output.Body instanceof Readable)) throw new TypeError('the SDK gave no stream');
        return this.#answer(output.Body, output.$metadata.httpStatusCode ?? 200, signal, {
          etag: output.ETag,
          'content-length': output.ContentLength?.toString(),
          'content-range': output.ContentRange,
          'content-encoding': output.ContentEncoding,
          'x-amz-meta-sha256': output.Metadata?.['sha256'],
        });
      } catch (error) {
        const name = s3ErrorName(error);
        const status = (error as { readonly $metadata?: { readonly httpStatusCode?: number } }).$metadata?.httpStatusCode;
        if (status === 304) return this.#answer(Readable.from([]), 304, signal, {});
        if (status === 412 && range !== undefined) return await this.get(bucket, key, { ifNoneMatch }, signal);
        if (status !== 416 && name !== 'InvalidRange') throw error;
        const { ContentLength: length } = await client.send(new this.sdk.HeadObjectCommand({ Bucket: bucket, Key: key }), {
          abortSignal: abort,
        });
        return this.#answer(Readable.from([]), 416, signal, { 'content-range': `bytes */${length ?? '*'}` });
      }
    });
  }

  /** All bytes of a small object. @throws FetchError `FETCH_NOT_FOUND`, `FETCH_TOO_LARGE` */
  async readSmall(bucket: string, key: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
    const uri = `s3://${bucket}/${key}`;
    const tooLarge = new FetchError('FETCH_TOO_LARGE', uri, `is larger than ${maxBytes} bytes`, 'remove it: it is none of ours');
    return this.call(uri, signal, async (client, abortSignal) => {
      const { Body, ContentLength = 0 } = await client.send(new this.sdk.GetObjectCommand({ Bucket: bucket, Key: key }), { abortSignal });
      if (!(Body instanceof Readable)) throw new TypeError('the SDK gave no stream');
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      for await (const chunk of Body as AsyncIterable<Uint8Array>) {
        bytes += chunk.byteLength;
        if (Math.max(bytes, ContentLength) > maxBytes) throw tooLarge;
        chunks.push(chunk);
      }
      return Buffer.concat(chunks);
    });
  }

  #answer(body: Readable, status: number, signal: AbortSignal, headers: Readonly<Record<string, string | undefined>>): Answer {
    const onAbort = (): void => void body.destroy(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
    signal.addEventListener('abort', onAbort, { once: true });
    body.once('close', () => signal.removeEventListener('abort', onAbort));
    return {
      status,
      url: this.endpoint,
      header: (name) => headers[name],
      body: arriving(body),
      abort: (reason) => void body.destroy(reason),
    };
  }
}

async function readAuthorities(caFile: string, uri: string): Promise<string> {
  const pem = await readFile(caFile, 'utf8').catch((cause: unknown) => {
    throw new FetchError('FETCH_UNTRUSTED', uri, `caFile: ${caFile} cannot be read`, 'mount the PEM file there', {
      retryable: true,
      cause,
    });
  });
  if (pem.includes('-----BEGIN CERTIFICATE-----')) return pem;
  throw new FetchError('FETCH_UNTRUSTED', uri, `caFile: ${caFile} holds no certificate`, "give the authority's certificate in PEM");
}
