import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, onDisk } from './file-system.ts';

const filesAtATime = 64;

/** Bytes of all files in a folder, or of a file; what goes away meanwhile has none. */
export async function bytesIn(path: string): Promise<number> {
  return onDisk(path, async () => {
    const whole = await stat(path).catch(gone);
    if (!whole?.isDirectory()) return whole?.size ?? 0;
    const entries = (await readdir(path, { recursive: true, withFileTypes: true }).catch(gone)) ?? [];
    const files = entries.filter((entry) => entry.isFile());
    let bytes = 0;
    for (let start = 0; start < files.length; start += filesAtATime) {
      const some = files.slice(start, start + filesAtATime);
      const sizes = await Promise.all(
        some.map(async ({ parentPath, name }) => (await stat(join(parentPath, name)).catch(gone))?.size ?? 0),
      );
      bytes += sizes.reduce((sum, size) => sum + size, 0);
    }
    return bytes;
  });
}

function gone(error: unknown): undefined {
  if (errorCode(error) !== 'ENOENT') throw error;
}
