import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BundleManifest } from '../../../src/model/bundle-manifest.ts';

const hexSha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Bytes that look random, the same for the same seed. */
export function noise(seed: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

export interface MadeBundle {
  readonly folder: string;
  readonly digest: string;
}

/** A bundle of two files whose bytes are noise: nobody here runs its network. */
export function makeBundle(folder: string, seed: number, weightBytes = 5_000, metrics: Record<string, number> = {}): MadeBundle {
  mkdirSync(folder, { recursive: true });
  const file = (name: string, bytes: Buffer): { name: string; sha256: string; bytes: number } => {
    writeFileSync(join(folder, name), bytes);
    return { name, sha256: hexSha256(bytes), bytes: bytes.length };
  };
  const zeros = '0'.repeat(64);
  const manifest: BundleManifest = {
    formatVersion: 1,
    network: 'Test',
    inputs: ['hidden'],
    classes: 1,
    hiddenSize: 64,
    embeddingSize: 64,
    logitsSize: 100,
    parameters: seed,
    threshold: 0.5,
    logitsType: 'bfloat16',
    slm: { name: 'test', vocabSize: 480, embeddingDigest: zeros, lmHeadDigest: zeros },
    graphs: { fp32: { model: file('router-fp32.onnx', noise(seed + 7919, 500)), data: file('router-fp32.bin', noise(seed, weightBytes)) } },
    metrics,
    provenance: { checkpointDigest: null, source: 'test' },
  };
  const text = Buffer.from(JSON.stringify(manifest));
  writeFileSync(join(folder, 'bundle.json'), text);
  return { folder, digest: hexSha256(text) };
}
