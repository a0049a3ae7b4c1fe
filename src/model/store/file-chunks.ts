import { open } from 'node:fs/promises';

const defaultBytes = 2 ** 20;

/** A file's bytes in pieces of `chunkBytes`, the last one shorter; each has a buffer of its own. @throws the signal's reason */
export async function* chunksOfFile(path: string, signal: AbortSignal, chunkBytes = defaultBytes): AsyncGenerator<Uint8Array, void, void> {
  const handle = await open(path, 'r');
  try {
    for (;;) {
      const chunk = Buffer.allocUnsafe(chunkBytes);
      let filled = 0;
      while (filled < chunkBytes) {
        signal.throwIfAborted();
        const { bytesRead } = await handle.read(chunk, filled, chunkBytes - filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      if (filled > 0) yield chunk.subarray(0, filled);
      if (filled < chunkBytes) return;
    }
  } finally {
    await handle.close();
  }
}
