/** One holder at a time of a thing on this machine, across processes. */
import { mkdir, readlink, rm, symlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { duration, type Progress } from './progress.ts';

const hasCode = (error: unknown, code: string): boolean => error instanceof Error && 'code' in error && error.code === code;

/** Whether there is a process of that number, ours or not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return hasCode(error, 'EPERM');
  }
}

/** The process that holds the lock; undefined if none does. */
async function holder(path: string): Promise<number | undefined> {
  try {
    return Number(await readlink(path));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw new Error(`${path} is not a lock of this version, which is a symbolic link: if nothing runs that uses it, remove it`, {
      cause: error,
    });
  }
}

/** A symbolic link is made and given its text, the holder's number, in one step: there is no lock without a name. */
async function acquire(path: string): Promise<boolean> {
  try {
    await symlink(String(process.pid), path);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/** Frees a lock whose holder died. Under a lock of its own, lest two see the same dead holder and the later one free the earlier one's. */
async function takeFrom(path: string, progress: Progress): Promise<void> {
  await locked(`${path}.takeover`, progress, async () => {
    const pid = await holder(path);
    if (pid !== undefined && !isAlive(pid)) await rm(path, { force: true });
  });
}

/** Runs `work` while holding the lock `path` (that nobody else makes). A holder that died loses it. */
export async function locked<T>(path: string, progress: Progress, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const started = Date.now();
  let reportAt = started;
  while (!(await acquire(path))) {
    const pid = await holder(path);
    if (pid === undefined) continue;
    if (!isAlive(pid)) {
      await takeFrom(path, progress);
      continue;
    }
    if (Date.now() >= reportAt) {
      progress(`waiting for process ${pid}, which holds ${path} (${duration(Date.now() - started)})`);
      reportAt = Date.now() + 15_000;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}
