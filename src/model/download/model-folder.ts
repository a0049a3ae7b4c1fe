import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { flush } from '../flush.ts';
import { isIntact } from './digested-file.ts';

/** The file of a model folder that says that it is whole, and what is in it. */
export const modelManifestFile = 'r2r-model.json';
const planFile = 'plan.json';

const fileSchema = z.object({
  path: z.string().regex(/^[\w][\w.-]*$/),
  bytes: z.int().nonnegative(),
  digest: z.string().regex(/^([0-9a-f]{40}|[0-9a-f]{64})$/),
});
const planSchema = z.object({
  formatVersion: z.literal(1),
  /** `hf://<org>/<repo>@<revision>` */
  model: z.string(),
  commit: z.string().regex(/^[0-9a-f]{40}$/),
  files: z.array(fileSchema).min(1),
});

export type ModelFile = z.infer<typeof fileSchema>;
/** A model at one commit: what is to be in its folder. */
export type ModelPlan = z.infer<typeof planSchema>;

/**
 * A model's folder. Its files lie below `.download/` until all of them are there and checked; then they are put in their places, and the manifest
 * is written last. Whoever finds a manifest finds a whole model.
 */
export class ModelFolder {
  readonly path: string;
  readonly #staging: string;

  constructor(path: string) {
    this.path = path;
    this.#staging = join(path, '.download');
  }

  async make(): Promise<void> {
    await mkdir(join(this.#staging, 'parts'), { recursive: true });
    await mkdir(join(this.#staging, 'files'), { recursive: true });
  }

  /** What the folder holds, or held before files of it were lost. */
  manifest(): Promise<ModelPlan | undefined> {
    return readPlan(join(this.path, modelManifestFile));
  }

  /** The model that is there as a whole; lengths are compared, bytes are not read again. */
  async whole(): Promise<ModelPlan | undefined> {
    const manifest = await this.manifest();
    if (!manifest) return undefined;
    for (const { path, bytes } of manifest.files) if ((await lengthOf(join(this.path, path))) !== bytes) return undefined;
    return manifest;
  }

  /** What a download that has begun is going to bring: a branch may have moved since. */
  plan(): Promise<ModelPlan | undefined> {
    return readPlan(join(this.#staging, planFile));
  }

  writePlan(plan: ModelPlan): Promise<void> {
    return this.#writeWhole(join(this.#staging, planFile), plan);
  }

  async dropPlan(): Promise<void> {
    await rm(join(this.#staging, planFile), { force: true });
  }

  /** A file on its way, by what it will be: a file of another commit with the same bytes need not be fetched again. */
  part({ digest }: ModelFile): string {
    return join(this.#staging, 'parts', digest);
  }

  /** A file that is whole and checked. */
  staged({ digest }: ModelFile): string {
    return join(this.#staging, 'files', digest);
  }

  /**
   * Whether a file need not be fetched. One in its place counts by its length where a manifest says that it was whole, else it is read: a process
   * may have been killed while it put files in their places.
   */
  async has(file: ModelFile, hasManifest: boolean, signal: AbortSignal): Promise<boolean> {
    if ((await lengthOf(this.staged(file))) === file.bytes) return true;
    const path = join(this.path, file.path);
    return hasManifest ? (await lengthOf(path)) === file.bytes : isIntact(path, file, signal);
  }

  /** How much of it has arrived. */
  async partLength(file: ModelFile): Promise<number> {
    const length = (await lengthOf(this.part(file))) ?? 0;
    return length <= file.bytes ? length : 0;
  }

  /** Puts all files in their places, then says that they are there. */
  async finish(plan: ModelPlan): Promise<void> {
    for (const file of plan.files)
      if ((await lengthOf(this.staged(file))) !== undefined) await rename(this.staged(file), join(this.path, file.path));
    await flush(this.path);
    await this.#writeWhole(join(this.path, modelManifestFile), plan);
    await this.tidy();
  }

  /** Whether something is on its way. */
  async isUntidy(): Promise<boolean> {
    return (await stat(this.#staging).catch(() => undefined)) !== undefined;
  }

  /** Removes what was on its way to a model that is whole now. */
  async tidy(): Promise<void> {
    await rm(this.#staging, { recursive: true, force: true });
  }

  /** What a process leaves that is killed here lies among what goes when the model is whole. */
  async #writeWhole(path: string, plan: ModelPlan): Promise<void> {
    const scratch = join(this.#staging, `${basename(path)}.${randomBytes(6).toString('hex')}`);
    const handle = await open(scratch, 'wx', 0o644);
    try {
      await handle.writeFile(`${JSON.stringify(plan, undefined, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(scratch, path);
    await flush(dirname(path));
  }
}

async function lengthOf(path: string): Promise<number | undefined> {
  const entry = await stat(path).catch(() => undefined);
  return entry?.isFile() ? entry.size : undefined;
}

/** Undefined where it is missing, or was written by another version of this program. */
async function readPlan(path: string): Promise<ModelPlan | undefined> {
  try {
    return planSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined;
  }
}
