import disk from 'node:fs';
import files from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

/**
 * Loaded before a program (`node --import`): the process kills itself right before its step with files of the number `R2R_DIE_AT`, counted from
 * 1. Steps are what changes a folder or a file, but for single writes: bytes arrive in more pieces one time than another. A process that ends by
 * itself writes their number to the file `R2R_STEPS_FILE`.
 */
const lastStep = Number(process.env.R2R_DIE_AT);
const countFile = process.env.R2R_STEPS_FILE;
let steps = 0;
// as it is now: telling the number is no step
const { writeFileSync } = disk;

function counted(owner: object, names: readonly string[]): void {
  const functions = owner as Record<string, (this: unknown, ...given: unknown[]) => unknown>;
  for (const name of names) {
    const original = functions[name];
    if (!original) continue;
    functions[name] = function (...given) {
      if (++steps === lastStep) process.kill(process.pid, 'SIGKILL');
      return original.apply(this, given);
    };
  }
}

const changing = [
  'appendFile',
  'copyFile',
  'cp',
  'link',
  'mkdir',
  'open',
  'rename',
  'rm',
  'rmdir',
  'symlink',
  'truncate',
  'unlink',
  'utimes',
  'writeFile',
];
const handle = await files.open('/dev/null');
counted(Object.getPrototypeOf(handle) as object, ['appendFile', 'sync', 'datasync', 'truncate', 'writeFile']);
await handle.close();
counted(files, changing);
counted(
  disk,
  [...changing, 'write', 'fsync', 'ftruncate'].map((name) => `${name}Sync`),
);
syncBuiltinESMExports();
if (countFile !== undefined) process.on('exit', () => writeFileSync(countFile, String(steps)));
