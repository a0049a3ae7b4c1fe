import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { stepFolderName, stepNames, type StepInput, type StepName, type StepSpec } from '../step-identity.ts';
import { PipelineError } from '../errors.ts';
import { diskError, diskFileSystem, onDisk, type FileSystem } from './file-system.ts';
import { parseManifest, type PartFile, type StepManifest } from './manifest.ts';
import { StepFolder } from './step-folder.ts';

/** A step that is or was in the workspace. */
export interface StepEntry {
  readonly step: StepName;
  readonly hash: string;
  readonly folder: string;
  /** Undefined while it is not done. */
  readonly manifest: StepManifest | undefined;
}

/** A folder, usually on a volume, with the steps of one router or of several. */
export class Workspace {
  readonly folder: string;
  readonly #fileSystem: FileSystem;
  /** Files that have been checked by this process, by path. */
  readonly #checked = new Map<string, Promise<boolean>>();

  constructor(folder: string, fileSystem: FileSystem = diskFileSystem) {
    this.folder = folder;
    this.#fileSystem = fileSystem;
  }

  /** The folder of a step, made if need be. */
  open(spec: StepSpec): Promise<StepFolder> {
    return StepFolder.open(this.#fileSystem, this.folder, spec);
  }

  /** All steps, in the order in which they run. */
  async steps(): Promise<readonly StepEntry[]> {
    const names = await onDisk(this.folder, () => this.#fileSystem.list(this.folder));
    const found: StepEntry[] = [];
    for (const step of stepNames) {
      for (const name of names) {
        const hash = /^([a-z]+)-([0-9a-f]{16})$/.exec(name);
        if (hash?.[1] !== step || hash[2] === undefined) continue;
        const folder = join(this.folder, name);
        const manifest = parseManifest(await onDisk(folder, () => this.#fileSystem.read(join(folder, 'manifest.json'))));
        found.push({ step, hash: hash[2], folder, manifest });
      }
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
    const manifest = parseManifest(await onDisk(path, () => this.#fileSystem.read(path)));
    if (manifest?.digest === digest) return { folder, manifest };
    for (const other of await this.steps())
      if (other.step === step && other.manifest?.digest === digest) return { folder: other.folder, manifest: other.manifest };
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
