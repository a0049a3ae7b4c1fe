import { join } from 'node:path';
import { canonicalJson } from '../../api/canonical-json.ts';
import { stepFolderName, stepHash, type StepSpec } from '../step-identity.ts';
import type { Counts, PartPlan, Shard } from '../step.ts';
import { temporaryEnding, writeWhole } from './atomic-file.ts';
import { onDisk, type FileSystem } from './file-system.ts';
import { Journal, removeJournals } from './journal.ts';
import {
  makeManifest,
  manifestText,
  parseManifest,
  parsePartRecord,
  type PartFile,
  type PartRecord,
  type StepManifest,
} from './manifest.ts';
import { PartFiles } from './part-files.ts';
import { readStepFile, writeStepFile } from './step-file.ts';

const readsAtATime = 64;
const folders = { data: 'data', parts: 'parts', journals: 'journals' } as const;

/**
 * A step's folder. A part exists when its record does, a step is done when its manifest is there; both are written last, so that the process may
 * end at any instant.
 */
export class StepFolder {
  readonly path: string;
  readonly spec: StepSpec;
  readonly hash: string;
  readonly #fileSystem: FileSystem;

  private constructor(fileSystem: FileSystem, path: string, spec: StepSpec, hash: string) {
    this.#fileSystem = fileSystem;
    this.path = path;
    this.spec = spec;
    this.hash = hash;
  }

  /** Makes the folder where it is missing. @throws PipelineError `PIPELINE_SPEC` when it is another step's */
  static async open(fileSystem: FileSystem, workspace: string, spec: StepSpec): Promise<StepFolder> {
    const hash = stepHash(spec);
    const path = join(workspace, stepFolderName(spec.step, hash));
    const found = await readStepFile(fileSystem, path, spec);
    for (const name of Object.values(folders))
      await onDisk(path, async () => {
        // what is there is left alone: making it could make a folder anew that a cleaning is about to put back
        if (!found || (await fileSystem.size(join(path, name))) === undefined) await fileSystem.makeFolder(join(path, name));
      });
    if (!found) {
      // the name of a new folder must last as what is put into it does
      await onDisk(path, () => fileSystem.syncFolder(workspace));
      await writeStepFile(fileSystem, path, spec);
    }
    // Inputs of the same data may lie elsewhere by now; the manifest says what step.json does, whoever writes it.
    return new StepFolder(fileSystem, path, found ?? spec, hash);
  }

  /** Undefined while the step is not done. */
  async manifest(): Promise<StepManifest | undefined> {
    const path = join(this.path, 'manifest.json');
    return parseManifest(await onDisk(path, () => this.#fileSystem.read(path)));
  }

  /** A finished part, whose files are there in full length; undefined: it is to be made. */
  async record(part: PartPlan): Promise<PartRecord | undefined> {
    const path = this.#recordPath(part.name);
    const record = parsePartRecord(await onDisk(path, () => this.#fileSystem.read(path)));
    if (record?.part !== part.name) return undefined;
    for (const { file, bytes } of record.files)
      if ((await onDisk(file, () => this.#fileSystem.size(join(this.path, file)))) !== bytes) return undefined;
    return record;
  }

  /** Of each part, in their order; several are read at a time, since a volume may be far away. */
  async records(parts: readonly PartPlan[]): Promise<readonly { readonly part: PartPlan; readonly record: PartRecord | undefined }[]> {
    const found: { readonly part: PartPlan; readonly record: PartRecord | undefined }[] = [];
    for (let start = 0; start < parts.length; start += readsAtATime) {
      const some = parts.slice(start, start + readsAtATime);
      found.push(...(await Promise.all(some.map(async (part) => ({ part, record: await this.record(part) })))));
    }
    return found;
  }

  /** What a kill has left of parts: files under way, and journals of those that are finished. */
  async removeLeftovers(parts: readonly PartPlan[], finished: ReadonlySet<string>): Promise<void> {
    const own = new Set(parts.flatMap((part) => [`${part.name}.json`, ...part.tables.map((table) => fileName(part, table))]));
    for (const name of [folders.data, folders.parts]) await this.#removeTemporary(join(this.path, name), own);
    const journals = join(this.path, folders.journals);
    const journaled = new Set((await onDisk(journals, () => this.#fileSystem.list(journals))).map((name) => name.split('.', 1)[0]));
    for (const { name } of parts) if (finished.has(name) && journaled.has(name)) await removeJournals(this.#fileSystem, journals, name);
  }

  journal(part: PartPlan): Promise<Journal> {
    return Journal.open(this.#fileSystem, join(this.path, folders.journals), part.name);
  }

  /** Files of a part that is about to be made. */
  files(part: PartPlan): PartFiles {
    const paths = part.tables.map((table) => [table, join(this.path, folders.data, fileName(part, table))] as const);
    return new PartFiles(this.#fileSystem, part.name, new Map(paths));
  }

  /** Says that a part is finished: durable when this resolves. `files` are in their places. */
  async finish(part: PartPlan, files: readonly Omit<PartFile, 'file'>[], counts: Counts, shard: Shard): Promise<PartRecord> {
    const data = join(this.path, folders.data);
    await onDisk(data, () => this.#fileSystem.syncFolder(data));
    const record: PartRecord = {
      formatVersion: 1,
      part: part.name,
      shard: { index: shard.index, count: shard.count },
      files: files.map((file) => ({ ...file, file: `${folders.data}/${fileName(part, file.table)}` })),
      counts: { ...counts },
    };
    await writeWhole(this.#fileSystem, this.#recordPath(part.name), `${canonicalJson(record)}\n`);
    return record;
  }

  /**
   * Writes the manifest if all parts are finished. Any shard may do it, also two at the same time: they write the same.
   *
   * @param check refuses the whole by its counts
   */
  async seal(
    plan: readonly PartPlan[],
    check: (counts: Counts) => void = () => undefined,
  ): Promise<{ readonly manifest: StepManifest } | { readonly missing: number }> {
    const parts: { plan: PartPlan; record: PartRecord }[] = [];
    let missing = 0;
    // By name: a shared volume may list a folder as it was a while ago.
    for (const { part, record } of await this.records(plan)) {
      if (record) parts.push({ plan: part, record });
      else missing++;
    }
    if (missing > 0) return { missing };
    const manifest = makeManifest(this.spec, parts);
    check(manifest.counts);
    await writeWhole(this.#fileSystem, join(this.path, 'manifest.json'), manifestText(manifest));
    return { manifest };
  }

  /** Makes a finished part one that is to be made. The step is not sealed. */
  async takeBack(part: PartPlan): Promise<void> {
    const path = this.#recordPath(part.name);
    await onDisk(path, async () => {
      await this.#fileSystem.remove(path);
      await this.#fileSystem.syncFolder(join(this.path, folders.parts));
    });
  }

  /** Sets a damaged file aside, so that its part is made again when the step runs. @returns the shard that made it, if that is known */
  async setAside(part: string, file: string): Promise<number | undefined> {
    const recordPath = this.#recordPath(part);
    const record = parsePartRecord(await onDisk(recordPath, () => this.#fileSystem.read(recordPath)));
    const path = join(this.path, file);
    const there = (await onDisk(file, () => this.#fileSystem.size(path))) !== undefined;
    // the manifest first: without it the step is not done, whatever happens next
    await onDisk(file, async () => {
      await this.#fileSystem.remove(join(this.path, 'manifest.json'));
      await this.#fileSystem.syncFolder(this.path);
      await this.#fileSystem.remove(recordPath);
      await this.#fileSystem.syncFolder(join(this.path, folders.parts));
      if (there) await this.#fileSystem.rename(path, `${path}.corrupt`);
    });
    return record?.shard.index;
  }

  /** Files under way of these names: `<name>.<random>.tmp`. */
  async #removeTemporary(folder: string, names: ReadonlySet<string>): Promise<void> {
    for (const found of await onDisk(folder, () => this.#fileSystem.list(folder))) {
      const isOwn = found.endsWith(temporaryEnding) && names.has(found.split('.').slice(0, -2).join('.'));
      if (isOwn) await onDisk(found, () => this.#fileSystem.remove(join(folder, found)));
    }
  }

  #recordPath(part: string): string {
    return join(this.path, folders.parts, `${part}.json`);
  }
}

function fileName(part: PartPlan, table: string): string {
  return part.tables.length === 1 ? `${part.name}.parquet` : `${part.name}-${table}.parquet`;
}
