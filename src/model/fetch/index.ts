/** Checkpoints and bundles by address: paths, claims, https, S3 and the Hugging Face hub. */
export { keepNewestArtifacts } from './cache-tidying.ts';
export { FetchError, type FetchErrorCode } from './errors.ts';
export { fetchArtifact, type FetchOptions } from './fetch-artifact.ts';
export type { FetchedArtifact } from './fetched-artifact.ts';
export type { HubOptions } from './hub.ts';
export { defaultLimits, type FetchLimits } from './limits.ts';
export type { S3Settings } from './s3-settings.ts';
export type { FetchProgress } from './receive.ts';
