import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';

const chunkBytes = 2 ** 20;

export interface FileDigests {
  readonly sha256: string;
  /** The object id that git gives a file of these bytes: sha1 over `blob <size>`, a zero byte, and the bytes. */
  readonly gitBlob: string;
}

/** Digests (hex) of a file's first `bytes` bytes. */
export async function digestsOf(handle: FileHandle, bytes: number, signal: AbortSignal): Promise<FileDigests> {
  const sha256 = createHash('sha256');
  const gitBlob = createHash('sha1').update(`blob ${bytes}\0`);
  const buffer = Buffer.allocUnsafe(chunkBytes);
  for (let position = 0; position < bytes;) {
    signal.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, Math.min(chunkBytes, bytes - position), position);
    if (bytesRead === 0) break;
    const chunk = buffer.subarray(0, bytesRead);
    sha256.update(chunk);
    gitBlob.update(chunk);
    position += bytesRead;
  }
  return { sha256: sha256.digest('hex'), gitBlob: gitBlob.digest('hex') };
}

/** sha256 (hex) of a whole file. */
export async function sha256OfFile(path: string, signal: AbortSignal): Promise<string> {
  const handle = await open(path, 'r');
  try {
    return (await digestsOf(handle, (await handle.stat()).size, signal)).sha256;
  } finally {
    await handle.close();
  }
}
