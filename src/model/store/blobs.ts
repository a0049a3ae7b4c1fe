import { StoreError } from './errors.ts';

/** A named piece of bytes in a store. */
export interface BlobInfo {
  readonly key: string;
  readonly bytes: number;
  /** When it was written, by the store's clock. */
  readonly writtenMs: number;
}

/** What a blob must consist of. */
export interface BlobContent {
  /** Hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
}

/**
 * Where bundles are kept: a flat space of keys such as `bundles/<digest>/bundle.json`. A blob is there whole or not at all, and whoever reads
 * after a write or removal has returned sees it (S3 and POSIX file systems promise that; of NFS see FolderBlobs).
 *
 * All throw StoreError or FetchError, and the signal's reason.
 */
export interface Blobs {
  /** What a router or a person calls the key: `s3://bucket/prefix/key`, `pvc://claim/path/key`, or a path. */
  address(key: string): string;
  /** The bytes of a small blob; undefined: there is none. */
  read(key: string, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /** Writes a small blob, over what is there. */
  write(key: string, bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  /** Writes a file, checked against `content` on the way, unless it is there already. */
  upload(key: string, path: string, content: BlobContent, signal: AbortSignal): Promise<void>;
  /** All whose key starts with `folder`, which ends with a slash. */
  list(folder: string, signal: AbortSignal): Promise<readonly BlobInfo[]>;
  /** Removes it if it is there. */
  remove(key: string, signal: AbortSignal): Promise<void>;
  /** Makes the folder of bundle `digest` one of this machine, every byte checked. @returns its path */
  fetchBundle(folder: string, digest: string, cacheFolder: string, signal: AbortSignal): Promise<string>;
  /** Removes what killed writers have left of blobs that never were. */
  sweep(olderThanMs: number, signal: AbortSignal): Promise<void>;
}

/** The largest blob that is read into memory: a manifest, a pin. */
export const maxSmallBytes = 2 ** 20;

const keyForm = /^[A-Za-z0-9][A-Za-z0-9._=-]*(?:\/[A-Za-z0-9][A-Za-z0-9._=-]*)*$/;

/** No part may be empty or start with a dot, so that none leads anywhere else. @throws StoreError `STORE_INVALID` */
export function assertKey(key: string, maxLength = 900): void {
  if (keyForm.test(key) && key.length <= maxLength) return;
  throw new StoreError(
    'STORE_INVALID',
    JSON.stringify(key.slice(0, 200)),
    'is no name for something stored',
    'use letters, digits, "._-=" and "/"',
  );
}
