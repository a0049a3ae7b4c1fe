import { createHash } from 'node:crypto';
import { claimFolder, claimOf } from '../api/claim.ts';
import type { JsonObject } from './json.ts';

/** Where a model folder is inside a container, and the claim that brings it there if it is not in the image. */
export interface ModelSource {
  readonly path: string;
  readonly claim?: string;
}

/** Reads an address: `pvc://<claim>/<path>`, or an absolute path in the image. One on a hub has been replaced by its place in the cache before. */
export function modelSource(address: string): ModelSource {
  const trimmed = address.length > 1 ? address.replace(/\/+$/, '') : address;
  const claim = claimOf(trimmed);
  return claim === undefined ? { path: trimmed } : { path: claimFolder(claim) + trimmed.slice(`pvc://${claim}`.length), claim };
}

/** One read-only volume for each claim among the sources; a claim that holds both models is mounted once. */
export function modelVolumes(sources: readonly ModelSource[]): readonly JsonObject[] {
  return claims(sources).map((claim) => ({ name: volumeName(claim), persistentVolumeClaim: { claimName: claim, readOnly: true } }));
}

export function modelMounts(sources: readonly ModelSource[]): readonly JsonObject[] {
  return claims(sources).map((claim) => ({ name: volumeName(claim), mountPath: claimFolder(claim), readOnly: true }));
}

function claims(sources: readonly ModelSource[]): readonly string[] {
  return [...new Set(sources.flatMap(({ claim }) => (claim === undefined ? [] : [claim])))];
}

/** A volume's name is a DNS label; a claim's may be longer and hold dots. */
function volumeName(claim: string): string {
  return /^[a-z0-9-]{1,57}$/.test(claim) ? `model-${claim}` : `model-${createHash('sha256').update(claim).digest('hex').slice(0, 16)}`;
}
