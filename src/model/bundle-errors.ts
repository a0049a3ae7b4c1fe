/**
 * What can be wrong with a router bundle, or with making one.
 * - `BUNDLE_MISSING`: there is no such folder, or it lacks a file that its manifest names
 * - `BUNDLE_INVALID`: the manifest or a file is not what a bundle has
 * - `BUNDLE_UNSUPPORTED`: the bundle is of another format version
 * - `BUNDLE_DIGEST_MISMATCH`: a file's size or sha256 is not the manifest's
 * - `BUNDLE_SLM_MISMATCH`: the bundle, or the checkpoint to be imported, belongs to another SLM
 * - `BUNDLE_CHECKPOINT_INVALID`: a field of the checkpoint cannot be put into a bundle
 * - `BUNDLE_OUTPUT_EXISTS`: something else lies where the bundle should go
 * - `BUNDLE_NO_SPACE`: the disk cannot hold the bundle
 * - `BUNDLE_CALIBRATION_FAILED`: the networks cannot be run on the calibration rows, or these do not fit
 */
export type BundleErrorCode =
  | 'BUNDLE_MISSING'
  | 'BUNDLE_INVALID'
  | 'BUNDLE_UNSUPPORTED'
  | 'BUNDLE_DIGEST_MISMATCH'
  | 'BUNDLE_SLM_MISMATCH'
  | 'BUNDLE_CHECKPOINT_INVALID'
  | 'BUNDLE_OUTPUT_EXISTS'
  | 'BUNDLE_NO_SPACE'
  | 'BUNDLE_CALIBRATION_FAILED';

/** A bundle that cannot be used or made. The message names the path, the file or field at fault, and what to do about it. */
export class BundleError extends Error {
  override readonly name = 'BundleError';
  readonly code: BundleErrorCode;
  /** The folder or file at fault. */
  readonly path: string;

  constructor(code: BundleErrorCode, path: string, problem: string, fix: string, cause?: unknown) {
    super(`${path}: ${problem}; ${fix}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.path = path;
  }
}
