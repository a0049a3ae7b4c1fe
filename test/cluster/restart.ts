/** A node that restarts: all its programs and all pods die at once, and come up again with what is on the disk. */
import { podProcesses } from './cgroups.ts';
import { killAll, processes } from './processes.ts';
import type { Progress } from './progress.ts';
import { up } from './up.ts';

/** Needs root. Other namespaces' pods die too, and are started again by whoever owns them. */
export async function restartNode(progress: Progress): Promise<void> {
  progress('the node dies, with every program and pod on it');
  await killAll('every process of the node', () => [...processes().map(({ pid }) => pid), ...podProcesses()]);
  await up(progress);
}
