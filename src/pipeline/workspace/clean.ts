import { basename, join } from 'node:path';
import { jobNames } from '../../api/r2rrouter-jobs.ts';
import type { Log } from '../log.ts';
import { diskFileSystem, onDisk, type FileSystem } from './file-system.ts';
import { goneName, isGone, leavingName, moved, parseLeaving, type Leaving } from './leaving.ts';
import { markName, ownerMarks, type OwnerMark, type StepOwner } from './owners.ts';
import { bytesIn } from './usage.ts';
import { stepFolders, type FolderEntry } from './workspace.ts';

export interface CleaningPolicy {
  /** The router whose folders are cleaned up. */
  readonly owner: StepOwner;
  /** How many folders of a step's earlier parameters or data stay, the ones used last. */
  readonly keep: number;
  /** Hashes of the steps that the router is made of now: these stay in any case. */
  readonly current: readonly string[];
}

export interface CleaningOptions {
  readonly log: Log;
  readonly signal: AbortSignal;
  /** @default the process's disk */
  readonly fileSystem?: FileSystem;
}

export interface MarkedFolder extends FolderEntry {
  readonly marks: readonly OwnerMark[];
}

export interface RemovedFolder extends FolderEntry {
  readonly bytes: number;
}

/** Which folders go: those that this router alone has marked, that it is not made of now, and that are not among the `keep` it used last. */
export function removableFolders<F extends MarkedFolder>(folders: readonly F[], { owner, keep, current }: CleaningPolicy): readonly F[] {
  const own = markName(owner);
  const usedMs = ({ marks }: F): number => marks.find(({ name }) => name === own)?.usedMs ?? -Infinity;
  return jobNames.flatMap((step) =>
    folders
      .filter((folder) => folder.step === step && !current.includes(folder.hash) && usedMs(folder) > -Infinity)
      .sort((one, other) => usedMs(other) - usedMs(one) || (one.hash < other.hash ? -1 : 1))
      .slice(keep)
      .filter(({ marks }) => marks.every(({ name }) => name === own)),
  );
}

/**
 * Removes results that a router needs no more from a workspace that others may share and use at the same time. May end at any instant: what is
 * on its way out is taken up by the next cleaning, whoever's it is. A folder without a mark is never touched. Who marks a folder in the very
 * instant in which it goes may have to make it again; nobody ever reads a part of it.
 *
 * @returns what is gone
 * @throws PipelineError `PIPELINE_WORKSPACE`; the signal's reason
 */
export async function cleanWorkspace(
  workspace: string,
  policy: CleaningPolicy,
  { log, signal, fileSystem = diskFileSystem }: CleaningOptions,
): Promise<readonly RemovedFolder[]> {
  const names = await onDisk(workspace, () => fileSystem.list(workspace));
  for (const name of names) {
    const left = parseLeaving(name);
    if (left) await finishLeaving(fileSystem, workspace, left, log);
    else if (isGone(name)) await onDisk(name, () => fileSystem.remove(join(workspace, name)));
  }

  const folders: MarkedFolder[] = [];
  for (const entry of stepFolders(workspace, await onDisk(workspace, () => fileSystem.list(workspace))))
    folders.push({ ...entry, marks: await ownerMarks(fileSystem, entry.folder) });
  const removed: RemovedFolder[] = [];
  for (const { step, hash, folder, marks } of removableFolders(folders, policy)) {
    signal.throwIfAborted();
    const bytes = await bytesIn(folder);
    const usedMs = Math.max(...marks.map((mark) => mark.usedMs));
    const left = { folder: basename(folder), owner: markName(policy.owner), usedMs };
    // removing those before it may have taken a while
    if (isUsed(await ownerMarks(fileSystem, folder), left)) continue;
    if (!(await moved(fileSystem, folder, join(workspace, leavingName(left))))) continue;
    if (!(await finishLeaving(fileSystem, workspace, left, log))) continue;
    removed.push({ step, hash, folder, bytes });
    log.info({ step, hash, bytes }, 'earlier results removed');
  }
  return removed;
}

/** Looks once more whether somebody has begun to use it; then it is back under its name, else it goes. @returns whether it is gone */
async function finishLeaving(fileSystem: FileSystem, workspace: string, left: Leaving, log: Log): Promise<boolean> {
  const aside = join(workspace, leavingName(left));
  // where whoever uses it has begun to make it anew, this one is nobody's
  if (isUsed(await ownerMarks(fileSystem, aside), left) && (await moved(fileSystem, aside, join(workspace, left.folder)))) {
    await onDisk(workspace, () => fileSystem.syncFolder(workspace));
    log.info({ folder: left.folder }, 'earlier results are used again and stay');
    return false;
  }
  const last = join(workspace, goneName(left));
  if (!(await moved(fileSystem, aside, last))) return false;
  await onDisk(last, async () => {
    // else, after a loss of power, it might be back under its name without its files
    await fileSystem.syncFolder(workspace);
    await fileSystem.remove(last);
  });
  return true;
}

function isUsed(marks: readonly OwnerMark[], { owner, usedMs }: Leaving): boolean {
  return marks.some((mark) => mark.name !== owner || mark.usedMs > usedMs);
}
