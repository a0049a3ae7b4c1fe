import { FetchError, type FetchErrorCode } from './errors.ts';
import { failure, retryAfterMs } from './exchange.ts';

/** What is known of an error of the SDK, whichever of its classes it has. */
interface Refusal {
  readonly name: string;
  readonly status: number | undefined;
  readonly requestId: string | undefined;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

type Row = readonly [code: FetchErrorCode, problem: string, fix: string, retryable?: true];

const grant = 'let these keys list the bucket and get, put and delete objects under the prefix';
const keys = 'give the keys that the store knows (access-key-id and secret-access-key of the credentials Secret)';
const later = 'check the network, or try again later';

/** By the store's own code, or where a HEAD answer has none, by the status. `%b`: the bucket, `%e`: the endpoint's host. */
const meanings: Readonly<Record<string, Row>> = {
  NoSuchBucket: ['FETCH_NOT_FOUND', 'there is no bucket %b at %e', 'make the bucket, or correct bucket, endpoint and region'],
  InvalidBucketName: ['FETCH_NOT_FOUND', '%b is no name of a bucket at %e', 'correct the bucket'],
  NoSuchKey: ['FETCH_NOT_FOUND', 'the bucket %b at %e has no such object', 'correct the key'],
  NotFound: ['FETCH_NOT_FOUND', 'the bucket %b at %e has no such object, or there is no such bucket', 'correct bucket and key'],
  404: ['FETCH_NOT_FOUND', 'the bucket %b at %e has no such object, or there is no such bucket', 'correct bucket and key'],
  AccessDenied: ['FETCH_DENIED', '%e denies access to the bucket %b', grant],
  AllAccessDisabled: ['FETCH_DENIED', '%e denies access to the bucket %b', grant],
  403: ['FETCH_DENIED', '%e denies access to the bucket %b', grant],
  401: ['FETCH_DENIED', '%e denies access to the bucket %b', grant],
  InvalidAccessKeyId: ['FETCH_CREDENTIALS', '%e does not know access-key-id', keys],
  SignatureDoesNotMatch: ['FETCH_CREDENTIALS', 'secret-access-key is not the one that goes with access-key-id at %e', keys],
  InvalidToken: ['FETCH_CREDENTIALS', '%e does not accept session-token', keys],
  ExpiredToken: ['FETCH_CREDENTIALS', 'session-token has expired', 'store new keys; they are read again for each request', true],
  TokenRefreshRequired: ['FETCH_CREDENTIALS', 'session-token has expired', 'store new keys; they are read again for each request', true],
  CredentialsProviderError: [
    'FETCH_CREDENTIALS',
    'this machine has no keys for %e',
    'give a credentials Secret, or an identity of the cloud to the pod',
    true,
  ],
  RequestTimeTooSkewed: ['FETCH_CLOCK', "%e says that this machine's clock is wrong", 'set the clock of the node, or of the store', true],
  RequestExpired: ['FETCH_CLOCK', "%e says that this machine's clock is wrong", 'set the clock of the node, or of the store', true],
  AuthorizationHeaderMalformed: ['FETCH_REFUSED', '%e is of another region', 'correct region'],
  PermanentRedirect: ['FETCH_REFUSED', 'the bucket %b is not served by %e', 'correct endpoint and region'],
  301: ['FETCH_REFUSED', 'the bucket %b is not served by %e', 'correct endpoint and region'],
  QuotaExceeded: ['FETCH_NO_SPACE', 'there is no room left for the bucket %b at %e', 'free some space, or raise its quota', true],
  XMinioStorageFull: ['FETCH_NO_SPACE', 'there is no room left for the bucket %b at %e', 'free some space, or raise its quota', true],
  507: ['FETCH_NO_SPACE', 'there is no room left for the bucket %b at %e', 'free some space, or raise its quota', true],
  BadDigest: ['FETCH_DIGEST_MISMATCH', 'what arrived at %e is not what was sent', 'check what stands between here and %e', true],
  XAmzContentSHA256Mismatch: ['FETCH_DIGEST_MISMATCH', 'what arrived at %e is not what was sent', 'check what stands between', true],
  SlowDown: ['FETCH_UNAVAILABLE', '%e is asked too much', later, true],
  RequestTimeout: ['FETCH_UNAVAILABLE', '%e waited for the request for too long', later, true],
};

/**
 * What an error of the S3 SDK means. The SDK's own error is not kept where it is the store's answer: it holds the access key's id and the
 * signature.
 *
 * @param uri the object, as s3://bucket/key
 */
export function s3Refusal(error: unknown, uri: string, endpoint: URL, signal: AbortSignal): Error {
  if (signal.aborted || error instanceof FetchError) return failure(error, uri, endpoint, signal);
  const { name, status, requestId, headers } = describe(error);
  const bucket = /^s3:\/\/([^/]*)/.exec(uri)?.[1] ?? '';
  const filled = (text: string): string => text.replaceAll('%b', bucket).replaceAll('%e', endpoint.host);
  const row = meanings[name] ?? (status === undefined ? undefined : meanings[status]);
  if (status === undefined && !row) return failure(error, uri, endpoint, signal);
  const cause = new Error(`${name} (status ${status ?? 'none'}, request ${requestId ?? 'unnamed'})`);
  const waitMs = retryAfterMs(headers['retry-after'], Date.now());
  if (row) {
    const [code, problem, fix, retryable = false] = row;
    return new FetchError(code, uri, `${filled(problem)} (${name})`, filled(fix), { retryable, cause, retryAfterMs: waitMs });
  }
  const passes = status === undefined || status >= 500 || [408, 409, 425, 429].includes(status);
  const problem = `${endpoint.host} answered ${status ?? 'nothing'} (${name})`;
  if (passes) return new FetchError('FETCH_UNAVAILABLE', uri, problem, later, { retryable: true, cause, retryAfterMs: waitMs });
  return new FetchError('FETCH_REFUSED', uri, problem, 'check endpoint, region and pathStyle', { cause });
}

/** The store's code of an error, such as `NoSuchKey`. */
export function s3ErrorName(error: unknown): string {
  return describe(error).name;
}

function describe(error: unknown): Refusal {
  const found: Record<string, unknown> = typeof error === 'object' && error !== null ? { ...error } : {};
  const metadata = (found['$metadata'] ?? {}) as { readonly httpStatusCode?: number; readonly requestId?: string };
  const response = (found['$response'] ?? {}) as { readonly headers?: Readonly<Record<string, string>>; readonly statusCode?: number };
  const code = typeof found['Code'] === 'string' ? found['Code'] : undefined;
  const name = code ?? (error instanceof Error ? error.name : 'Unknown');
  // a proxy's page instead of the store's answer: the SDK fails over its syntax, and only the answer's status says anything
  const status = response.statusCode ?? metadata.httpStatusCode;
  return { name: name.replace(/[^\w.-]/g, '').slice(0, 80), status, requestId: metadata.requestId, headers: response.headers ?? {} };
}
