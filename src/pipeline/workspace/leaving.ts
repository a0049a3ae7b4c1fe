import { join } from 'node:path';
import { errorCode, onDisk, type FileSystem } from './file-system.ts';

/**
 * Names of folders on their way out of a workspace. `.leaving…`: whole, and put back if somebody begins to use it; `.gone…`: not whole any more.
 * Both tell which folder it was, whose mark it had, and when that router used it last.
 */
const leaving = '.leaving.';
const gone = '.gone.';
const pattern = /^\.leaving\.([a-z]+-[0-9a-f]{16})\.([-a-z0-9]+\.[-a-z0-9]+)\.([0-9]+)$/;

export interface Leaving {
  readonly folder: string;
  /** Name of its only mark. */
  readonly owner: string;
  readonly usedMs: number;
}

export function leavingName({ folder, owner, usedMs }: Leaving): string {
  return `${leaving}${folder}.${owner}.${usedMs}`;
}

/** Undefined for a name that is none of these. */
export function parseLeaving(name: string): Leaving | undefined {
  const [, folder, owner, usedMs] = pattern.exec(name) ?? [];
  return folder === undefined || owner === undefined ? undefined : { folder, owner, usedMs: Number(usedMs) };
}

export function goneName(of: Leaving): string {
  return gone + leavingName(of).slice(leaving.length);
}

export function isGone(name: string): boolean {
  return name.startsWith(gone);
}

/** Puts a folder back under its name, if it is on its way out and whole. @returns whether it is back */
export async function takeBack(fileSystem: FileSystem, workspace: string, folder: string): Promise<boolean> {
  const names = await onDisk(workspace, () => fileSystem.list(workspace));
  const found = names.find((name) => parseLeaving(name)?.folder === folder);
  return found !== undefined && (await moved(fileSystem, join(workspace, found), join(workspace, folder)));
}

/** Renames a folder. False: somebody else was faster, or there is something of that name. @throws PipelineError */
export async function moved(fileSystem: FileSystem, from: string, to: string): Promise<boolean> {
  return onDisk(from, async () => {
    try {
      await fileSystem.rename(from, to);
      return true;
    } catch (error) {
      if (['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(errorCode(error) ?? '')) return false;
      throw error;
    }
  });
}
