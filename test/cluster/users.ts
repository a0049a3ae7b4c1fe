/** Which processes use the local cluster, so that a test run that started it does not take it away under another. */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive } from './lock.ts';
import { stateFolder } from './settings.ts';

const folder = join(stateFolder, 'users');

/** Writes down that this process uses the cluster, until it ends. */
export async function registerUser(pid = process.pid): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, String(pid)), '');
}

/** Other living processes that use the cluster. */
export async function otherUsers(): Promise<number[]> {
  const pids = (await readdir(folder).catch(() => [])).map(Number);
  return pids.filter((pid) => pid !== process.pid && isAlive(pid));
}
