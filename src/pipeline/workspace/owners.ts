import { basename, dirname, join } from 'node:path';
import { errorCode, onDisk, type FileSystem } from './file-system.ts';
import { takeBack } from './leaving.ts';

/** The R2RRouter that a step is made or read for. */
export interface StepOwner {
  readonly namespace: string;
  readonly name: string;
}

/** That a router uses a step's folder, and when it began to do so last. */
export interface OwnerMark {
  /** See {@link markName}. */
  readonly name: string;
  /** Milliseconds since 1970, by the clock of the machine it ran on. */
  readonly usedMs: number;
}

const folderName = 'owners';
const tries = 3;

/** Reads `namespace/name`; undefined when it is none. */
export function parseOwner(text: string): StepOwner | undefined {
  const [, namespace, name] = /^([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)\/([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)$/.exec(text) ?? [];
  return namespace === undefined || name === undefined ? undefined : { namespace, name };
}

/** File name of a router's mark. Neither part of it has a dot. */
export function markName({ namespace, name }: StepOwner): string {
  return `${namespace}.${name}`;
}

/**
 * Says that `owner` uses a step's folder from now on: before anything in it is read or written, so that a cleaning of another router that goes on
 * at the same time sees it. Durable when this resolves. A mark is no part of the data: no digest or manifest knows of it.
 *
 * @param makes whether the folder is made where it is missing; else nothing is done then
 */
export async function markOwner(fileSystem: FileSystem, folder: string, owner: StepOwner, makes: boolean): Promise<void> {
  const marks = join(folder, folderName);
  await onDisk(folder, async () => {
    for (let left = tries; ; left--) {
      try {
        await fileSystem.touch(join(marks, markName(owner)));
        await fileSystem.syncFolder(marks);
        return;
      } catch (error) {
        // never marked before, or a cleaning is just taking it away
        if (errorCode(error) !== 'ENOENT' || left === 0) throw error;
        if (await takeBack(fileSystem, dirname(folder), basename(folder))) continue;
        if (!makes && (await fileSystem.size(folder)) === undefined) return;
        await fileSystem.makeFolder(marks);
        await fileSystem.syncFolder(folder);
      }
    }
  });
}

/** Whether a mark is there, as far as it was not taken away with its folder meanwhile. */
export async function isMarked(fileSystem: FileSystem, folder: string, owner: StepOwner): Promise<boolean> {
  const path = join(folder, folderName, markName(owner));
  return (await onDisk(path, () => fileSystem.modifiedMs(path))) !== undefined;
}

/** Who uses a step's folder; none for one that no router has marked. */
export async function ownerMarks(fileSystem: FileSystem, folder: string): Promise<readonly OwnerMark[]> {
  const marks = join(folder, folderName);
  return onDisk(marks, async () => {
    const found: OwnerMark[] = [];
    for (const name of await fileSystem.list(marks)) {
      // NFS names what is open and removed so
      if (name.startsWith('.')) continue;
      const usedMs = await fileSystem.modifiedMs(join(marks, name));
      if (usedMs !== undefined) found.push({ name, usedMs: Math.floor(usedMs) });
    }
    return found;
  });
}
