/** Builds images with buildah, no daemon needed, into archives that are kept as long as their inputs stay the same. */
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { run } from './commands.ts';
import { cacheFolder } from './go-programs.ts';
import { locked } from './lock.ts';
import { duration, type Progress } from './progress.ts';

export const repository = join(import.meta.dirname, '..', '..');
const archives = () => join(cacheFolder(), 'images');

/** A digest (12 hex digits) of files' names and contents and of any other texts that decide what comes out. */
export function hashInputs(patterns: readonly string[], others: readonly string[] = []): string {
  const hash = createHash('sha256');
  for (const file of globSync([...patterns], { cwd: repository }).sort()) {
    if (!statSync(join(repository, file)).isFile()) continue;
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(repository, file)))
      .update('\0');
  }
  for (const text of others) hash.update(`${text}\0`);
  return hash.digest('hex').slice(0, 12);
}

export interface ImageBuild {
  /** The folder under images/. */
  readonly name: string;
  /** The full name that the built image gets. */
  readonly image: string;
  /** {@link hashInputs} of everything that goes into it. */
  readonly inputs: string;
  /** Fills the build context, an empty folder. The Dockerfile is added. */
  readonly prepare: (context: string) => Promise<void>;
  /** The archive of the image that `ARG BASE` stands for. */
  readonly base?: { readonly image: string; readonly archive: string };
}

/**
 * buildah with a storage for this one build. `STORAGE_DRIVER=vfs` is for file systems that can't be overlaid (twice the time).
 * The node's own snapshots need overlays anyway.
 */
function buildah(program: string, storage: string, args: readonly string[], progress?: (line: string) => void): Promise<string> {
  const options = [
    '--storage-driver',
    process.env.STORAGE_DRIVER ?? 'overlay',
    '--root',
    join(storage, 'root'),
    '--runroot',
    join(storage, 'run'),
  ];
  return run(program, [...options, ...args], { timeoutMs: 20 * 60_000, ...(progress ? { onLine: progress } : {}) });
}

async function build(program: string, { name, image, prepare, base }: ImageBuild, archive: string): Promise<void> {
  const scratch = await mkdtemp(join(archives(), '.building-'));
  const context = join(scratch, 'context');
  try {
    await mkdir(context);
    await prepare(context);
    if (base) await buildah(program, scratch, ['pull', `docker-archive:${base.archive}`]);
    const baseArgument = base ? ['--build-arg', `BASE=${base.image}`] : [];
    const dockerfile = join(repository, 'images', name, 'Dockerfile');
    const args = ['build', '--isolation', 'chroot', '--pull=never', '--file', dockerfile, '--tag', image, ...baseArgument, context];
    await buildah(program, scratch, args);
    await buildah(program, scratch, ['push', image, `docker-archive:${scratch}/image.tar:${image}`]);
    await rename(join(scratch, 'image.tar'), archive);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The archive of an image, built unless one of the same inputs is there. Older archives of the image go. */
export async function ensureArchive(program: string, image: ImageBuild, progress: Progress): Promise<string> {
  const archive = join(archives(), `${image.name}-${image.inputs}.tar`);
  await mkdir(archives(), { recursive: true });
  return locked(join(archives(), `${image.name}.lock`), progress, async () => {
    if (existsSync(archive)) return archive;
    const started = Date.now();
    progress(`building ${image.image}`);
    await build(program, image, archive);
    const others = (await readdir(dirname(archive))).filter((file) => new RegExp(`^${image.name}-[0-9a-f]{12}\\.tar$`).test(file));
    for (const file of others) if (file !== basename(archive)) await rm(join(dirname(archive), file));
    progress(`built ${image.image} in ${duration(Date.now() - started)}: ${Math.round(statSync(archive).size / 1e6)} MB`);
    return archive;
  });
}
