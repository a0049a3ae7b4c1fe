/** Router bundles under their digests, in a folder (a claim) or an S3-compatible object store. */
export type { BlobInfo, Blobs } from './blobs.ts';
export { BundleStore, type BundleStoreOptions, type StoredBundle } from './bundle-store.ts';
export { StoreError, type StoreErrorCode } from './errors.ts';
export { FolderBlobs, type FolderBlobsOptions } from './folder-blobs.ts';
export type { Pin } from './holds.ts';
export { S3Blobs, type S3BlobsOptions } from './s3-blobs.ts';
