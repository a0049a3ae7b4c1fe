import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { jobNames, type JobName } from '../../api/r2rrouter-jobs.ts';
import { stepFolderName, stepHash, stepNames, type StepInput, type StepName, type StepSpec } from '../step-identity.ts';
import { PipelineError } from '../errors.ts';
import { diskError, diskFileSystem, onDisk, type FileSystem } from './file-system.ts';
import { parseManifest, type PartFile, type StepManifest } from './manifest.ts';
import { isMarked, markOwner, ownerMarks, type OwnerMark, type StepOwner } from './owners.ts';
import { StepFolder } from './step-folder.ts';

/** A folder in the workspace, of a step of the pipeline, of training or of a bundle. */
export interface FolderEntry<Name extends JobName = JobName> {
  readonly step: Name;
  readonly hash: string;
  readonly folder: string;
}

/** A step that is or was in the workspace. */
export interface StepEntry extends FolderEntry<StepName> {
  /** Undefined while it is not done. */
  readonly manifest: StepManifest | undefined;
}

/** How often a folder is opened that a cleaning takes away meanwhile. */
const tries = 3;

/** A folder, usually on a volume, with the steps of one router or of several. */
export class Workspace {
  readonly folder: string;
  readonly #fileSystem: FileSystem;
  readonly #owner: StepOwner | undefined;
  /** Files that have been checked by this process, by path. */
  readonly #checked = new Map<string, Promise<boolean>>();

  /** @param owner the router that steps are made and read for: their folders are marked as its own; left out: nothing is marked */
  constructor(folder: string, fileSystem: FileSystem = diskFileSystem, owner?: StepOwner) {
    this.folder = folder;
    this.#fileSystem = fileSystem;
    this.#owner = owner;
  }

  /** The folder of a step, made if need be. */
  async open(spec: StepSpec): Promise<StepFolder> {
    for (let left = tries; ; left--) {
      await this.#mark(stepFolderName(spec.step, stepHash(spec)), true);
      const folder = await StepFolder.open(this.#fileSystem, this.folder, spec);
      if (left === 0 || !this.#owner || (await isMarked(this.#fileSystem, folder.path, this.#owner))) return folder;
      // a cleaning took it away after the mark was made, and this one is new
    }
  }

  /** Marks a folder that something else has written, such as the trainer, if it is there: before it is read. */
  async use(step: JobName, hash: string): Promise<void> {
    await this.#mark(stepFolderName(step, hash), false);
  }

  /** Who uses a step's folder. */
  marks(folder: string): Promise<readonly OwnerMark[]> {
    return ownerMarks(this.#fileSystem, folder);
  }

  /** All folders that are a step's, in the order in which steps run. */
  async folders(): Promise<readonly FolderEntry[]> {
    return stepFolders(this.folder, await onDisk(this.folder, () => this.#fileSystem.list(this.folder)));
  }

  /** All steps, in the order in which they run. */
  async steps(): Promise<readonly StepEntry[]> {
    const found: StepEntry[] = [];
    for (const entry of await this.folders()) {
      const step = stepNames.find((name) => name === entry.step);
      if (!step) continue;
      const { hash, folder } = entry;
      const manifest = parseManifest(await onDisk(folder, () => this.#fileSystem.read(join(folder, 'manifest.json'))));
      found.push({ step, hash, folder, manifest });
    }
    return found;
  }

  /**
   * A step that is done, and has the data that is expected: that of the hash, else any other, since the same data is as good wherever it lies.
   *
   * @throws PipelineError `PIPELINE_INPUT_MISSING`
   */
  async input(step: StepName, { hash, digest }: StepInput): Promise<{ readonly folder: string; readonly manifest: StepManifest }> {
    const folder = join(this.folder, stepFolderName(step, hash));
    const path = join(folder, 'manifest.json');
    const read = async (of: string) => {
      await this.use(step, of);
      const its = join(this.folder, stepFolderName(step, of));
      return parseManifest(await onDisk(its, () => this.#fileSystem.read(join(its, 'manifest.json'))));
    };
    // again, because a cleaning may have it away for a moment
    const manifest = (await read(hash)) ?? (await read(hash));
    if (manifest?.digest === digest) return { folder, manifest };
    for (const other of await this.steps()) {
      if (other.step !== step || other.manifest?.digest !== digest) continue;
      const same = await read(other.hash);
      if (same?.digest === digest) return { folder: other.folder, manifest: same };
    }
    if (!manifest) throw new PipelineError('PIPELINE_INPUT_MISSING', 'it is not done', `run ${step} first`, { step, file: path });
    const problem = `its data is ${manifest.digest}, and ${digest} was expected`;
    throw new PipelineError('PIPELINE_INPUT_MISSING', problem, 'run the steps that read it with its new digest', { step, file: path });
  }

  /**
   * Checks a part's file against its digest, once in a process. A damaged one is set aside, so that the step makes it again.
   *
   * @returns its path
   * @throws PipelineError `PIPELINE_PART_CORRUPT` naming the step, the shard and the file
   */
  async checkedFile(folder: string, manifest: StepManifest, part: string, file: PartFile): Promise<string> {
    const path = join(folder, file.file);
    let checking = this.#checked.get(path);
    if (!checking) {
      checking = isWhole(path, file);
      this.#checked.set(path, checking);
    }
    if (await checking) return path;
    this.#checked.delete(path);
    const { step, format, params, inputs } = manifest;
    const spec = { step, format, params, inputs } as StepSpec;
    const shard = await (await this.open(spec)).setAside(part, file.file);
    const problem = 'the file is not what was written: its digest has changed, or it is missing';
    const fix = `run step ${step} again, which makes this part again; then check the volume`;
    throw new PipelineError('PIPELINE_PART_CORRUPT', problem, fix, { step, shard, file: path });
  }

  /** Removes a step: its folder is out of the way at once, though its bytes may take a while. */
  async remove(step: StepName, hash: string): Promise<void> {
    const folder = join(this.folder, stepFolderName(step, hash));
    const aside = join(this.folder, `removed-${stepFolderName(step, hash)}`);
    await onDisk(folder, async () => {
      await this.#fileSystem.remove(aside);
      await this.#fileSystem.rename(folder, aside);
      await this.#fileSystem.remove(aside);
    });
  }

  async #mark(name: string, makes: boolean): Promise<void> {
    if (!this.#owner) return;
    const folder = join(this.folder, name);
    await markOwner(this.#fileSystem, folder, this.#owner, makes);
  }
}

/** Those among the names in a workspace that are a step's, in the order in which steps run. */
export function stepFolders(workspace: string, names: readonly string[]): readonly FolderEntry[] {
  return jobNames.flatMap((step) =>
    names.flatMap((name) => {
      const [, of, hash] = /^([a-z]+)-([0-9a-f]{16})$/.exec(name) ?? [];
      return of === step && hash !== undefined ? [{ step, hash, folder: join(workspace, name) }] : [];
    }),
  );
}

async function isWhole(path: string, { bytes, sha256 }: PartFile): Promise<boolean> {
  const hash = createHash('sha256');
  let read = 0;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      read += chunk.byteLength;
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw diskError(error, path);
  }
  return read === bytes && hash.digest('hex') === sha256;
}
