import { createHash } from 'node:crypto';
import type { JsonObject } from './json.ts';

/** Where a model folder is inside a container, and the claim that brings it there if it is not in the image. */
export interface ModelSource {
  readonly path: string;
  readonly claim?: string;
}

const claimsFolder = '/models';

/** Reads `spec.*.model`: `pvc://<claim>/<path>` or an absolute path in the image (the CRD admits nothing else). */
export function modelSource(model: string): ModelSource {
  const trimmed = model.length > 1 ? model.replace(/\/+$/, '') : model;
  const claimed = /^pvc:\/\/([^/]+)(\/.*)?$/.exec(trimmed);
  return claimed?.[1] === undefined ? { path: trimmed } : { path: `${claimsFolder}/${claimed[1]}${claimed[2] ?? ''}`, claim: claimed[1] };
}

/** One read-only volume for each claim among the sources; a claim that holds both models is mounted once. */
export function modelVolumes(sources: readonly ModelSource[]): readonly JsonObject[] {
  return claims(sources).map((claim) => ({ name: volumeName(claim), persistentVolumeClaim: { claimName: claim, readOnly: true } }));
}

export function modelMounts(sources: readonly ModelSource[]): readonly JsonObject[] {
  return claims(sources).map((claim) => ({ name: volumeName(claim), mountPath: `${claimsFolder}/${claim}`, readOnly: true }));
}

function claims(sources: readonly ModelSource[]): readonly string[] {
  return [...new Set(sources.flatMap(({ claim }) => (claim === undefined ? [] : [claim])))];
}

/** A volume's name is a DNS label; a claim's may be longer and hold dots. */
function volumeName(claim: string): string {
  return /^[a-z0-9-]{1,57}$/.test(claim) ? `model-${claim}` : `model-${createHash('sha256').update(claim).digest('hex').slice(0, 16)}`;
}
