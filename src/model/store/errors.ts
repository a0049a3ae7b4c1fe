/**
 * Why a store of bundles cannot do something; mirrored in docs/reference/errors.md. What goes wrong between here and an object store is a
 * FetchError.
 * - `STORE_MISSING`: there is no such bundle
 * - `STORE_IN_USE`: the bundle is pinned, and therefore not deleted; passes when the pins go
 * - `STORE_BUSY`: the bundle is being deleted just now; passes
 * - `STORE_INVALID`: a digest, owner, prefix or expiry is of no form that is taken
 * - `STORE_DIGEST_MISMATCH`: a file changed while it was stored
 * - `STORE_NO_SPACE`: the volume has no room; may pass
 * - `STORE_UNUSABLE`: the folder cannot be read or written
 */
export type StoreErrorCode =
  'STORE_MISSING' | 'STORE_IN_USE' | 'STORE_BUSY' | 'STORE_INVALID' | 'STORE_DIGEST_MISMATCH' | 'STORE_NO_SPACE' | 'STORE_UNUSABLE';

const passing: readonly StoreErrorCode[] = ['STORE_IN_USE', 'STORE_BUSY', 'STORE_NO_SPACE'];

/** Something that a store of bundles cannot do. The message names the bundle or file, what is wrong and what to do about it. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  /** Address of the bundle or file. */
  readonly address: string;
  /** Whether the same may succeed later. */
  readonly retryable: boolean;

  constructor(code: StoreErrorCode, address: string, problem: string, fix: string, cause?: unknown) {
    super(`${address}: ${problem}; ${fix}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.address = address;
    this.retryable = passing.includes(code);
  }
}
