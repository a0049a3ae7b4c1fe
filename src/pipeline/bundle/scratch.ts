import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { onDisk } from '../workspace/file-system.ts';

/** A new folder below `cacheFolder` for this process, and removes those of processes that are gone. */
export async function scratchFolder(cacheFolder: string): Promise<string> {
  return onDisk(cacheFolder, async () => {
    await mkdir(cacheFolder, { recursive: true });
    for (const name of await readdir(cacheFolder)) {
      const pid = Number(/^work-(\d+)-/.exec(name)?.[1]);
      // one of our own number is of a process before this one
      if (pid > 0 && (pid === process.pid || !isAlive(pid))) await rm(join(cacheFolder, name), { recursive: true, force: true });
    }
    return mkdtemp(join(cacheFolder, `work-${process.pid}-`));
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
