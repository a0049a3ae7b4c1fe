/** One holder at a time of a thing on this machine, across processes. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { duration, type Progress } from './progress.ts';

async function holder(folder: string): Promise<number | undefined> {
  const pid = Number(await readFile(join(folder, 'pid'), 'utf8').catch(() => ''));
  return Number.isInteger(pid) && pid > 0 ? pid : undefined;
}

/** Whether there is a process of that number, ours or not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

async function acquire(folder: string): Promise<boolean> {
  try {
    await mkdir(folder);
  } catch {
    return false;
  }
  await writeFile(join(folder, 'pid'), String(process.pid));
  return true;
}

/** Runs `work` while holding the lock `folder` (a path that nobody else makes). A holder that died loses it. */
export async function locked<T>(folder: string, progress: Progress, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(folder), { recursive: true });
  const started = Date.now();
  let reportAt = started;
  let nameless = 0;
  while (!(await acquire(folder))) {
    const pid = await holder(folder);
    // Between making the folder and naming its holder lies a moment; only a folder nameless for seconds is abandoned.
    nameless = pid === undefined ? nameless + 1 : 0;
    if (pid === undefined ? nameless > 10 : !isAlive(pid)) {
      await rm(folder, { recursive: true, force: true });
      continue;
    }
    if (Date.now() >= reportAt) {
      progress(`waiting for process ${pid ?? '?'}, which holds ${folder} (${duration(Date.now() - started)})`);
      reportAt = Date.now() + 15_000;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  try {
    return await work();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
