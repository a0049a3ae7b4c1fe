import files from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { downloadModel } from '../../../src/model/download/index.ts';

/**
 * A process of its own that downloads, to be killed: `node downloading-process.ts <folder> <hub> <stale ms> [step]`. It kills itself right before
 * the step of that number, counted from 1, in which it would change or read a file by its path, and tells how many it took.
 */
const [, , folder = '', endpoint = '', staleMs = '', lastStep = ''] = process.argv;
let steps = 0;
for (const name of ['link', 'mkdir', 'open', 'readdir', 'readFile', 'rename', 'rm', 'stat', 'statfs'] as const) {
  const original = files[name] as (...given: unknown[]) => Promise<unknown>;
  const counted = (...given: unknown[]): Promise<unknown> => {
    if (++steps === Number(lastStep)) process.kill(process.pid, 'SIGKILL');
    return original(...given);
  };
  Object.assign(files, { [name]: counted });
}
syncBuiltinESMExports();
const told = await downloadModel(
  { org: 'org', repo: 'model', revision: 'main' },
  {
    hub: { endpoint },
    folder,
    signal: new AbortController().signal,
    limits: { retryDelaysMs: [10, 10, 10] },
    lock: { beatMs: 30, staleMs: Number(staleMs) },
    events: { planned: ({ presentBytes }) => process.stdout.write(`${presentBytes}\n`) },
  },
).catch((error: unknown) => ({ error: String(error) }));
process.stdout.write(`${JSON.stringify({ ...told, steps })}\n`);
