/**
 * Why a checkpoint or bundle cannot be had; mirrored in docs/reference/errors.md.
 * - `FETCH_URI_INVALID`: the address is of no form that is fetched
 * - `FETCH_UNSUPPORTED`: something other than a `.pt` checkpoint or a bundle by its digest is to be downloaded
 * - `FETCH_NOT_FOUND`: there is no such file, claim, repository, revision or bucket
 * - `FETCH_DENIED`: the server wants a token, or another one, or keys with more rights
 * - `FETCH_TOKEN`: the token cannot be used, or has not arrived yet
 * - `FETCH_CREDENTIALS`: the object store's keys cannot be used, are not known to it, or have not arrived yet
 * - `FETCH_CLOCK`: the clocks of this machine and the object store differ too much
 * - `FETCH_REFUSED`: the server refuses the request for good
 * - `FETCH_REDIRECT`: the server leads to where nothing is fetched from
 * - `FETCH_PROTOCOL`: the server does not answer as the protocol has it
 * - `FETCH_UNTRUSTED`: the server's certificate cannot be trusted
 * - `FETCH_TOO_LARGE`: the file is larger than allowed
 * - `FETCH_DIGEST_MISMATCH`: what arrived is not what the hub lists, or not what the bundle's address or manifest says
 * - `FETCH_UNAVAILABLE`: the server cannot be reached, is too slow, or fails; may pass
 * - `FETCH_NO_SPACE`: the cache has no room; may pass
 * - `FETCH_CACHE`: the cache cannot be written
 */
export type FetchErrorCode =
  | 'FETCH_URI_INVALID'
  | 'FETCH_UNSUPPORTED'
  | 'FETCH_NOT_FOUND'
  | 'FETCH_DENIED'
  | 'FETCH_TOKEN'
  | 'FETCH_CREDENTIALS'
  | 'FETCH_CLOCK'
  | 'FETCH_REFUSED'
  | 'FETCH_REDIRECT'
  | 'FETCH_PROTOCOL'
  | 'FETCH_UNTRUSTED'
  | 'FETCH_TOO_LARGE'
  | 'FETCH_DIGEST_MISMATCH'
  | 'FETCH_UNAVAILABLE'
  | 'FETCH_NO_SPACE'
  | 'FETCH_CACHE';

export interface FetchErrorOptions extends ErrorOptions {
  /** @default false */
  readonly retryable?: boolean;
  /** What the server asked for. */
  readonly retryAfterMs?: number | undefined;
}

/** Something that cannot be fetched. The message names the address, what is wrong and what to do about it, and never a token, a key or a signed address. */
export class FetchError extends Error {
  override readonly name = 'FetchError';
  readonly code: FetchErrorCode;
  readonly uri: string;
  /** Whether the same fetch may succeed later. */
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;

  constructor(code: FetchErrorCode, uri: string, problem: string, fix: string, options: FetchErrorOptions = {}) {
    super(`${uri}: ${problem}; ${fix}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.uri = uri;
    this.retryable = options.retryable ?? false;
    this.retryAfterMs = options.retryAfterMs;
  }
}
