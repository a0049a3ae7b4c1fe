/** The images of this repository, and how each comes to be on the local node. */
import { readFileSync } from 'node:fs';
import { copyFile, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cluster } from './cluster.ts';
import { run } from './commands.ts';
import { debianProgramPaths } from './debian-packages.ts';
import { ensureArchive, hashInputs, repository, type ImageBuild } from './image-builds.ts';
import type { Progress } from './progress.ts';
import { pauseImage, stateFolder } from './settings.ts';
import { trainerArchive } from './trainer-image.ts';

const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { version: string };

/** The published names: manifests that name them work on the local cluster unchanged. */
export const imageNames = {
  operator: `ghcr.io/r2r-kubernetes/operator:${version}`,
  router: `ghcr.io/r2r-kubernetes/router:${version}`,
  trainer: `ghcr.io/r2r-kubernetes/trainer:${version}`,
} as const;
export type ImageName = keyof typeof imageNames;
export const buildableImages = Object.keys(imageNames) as readonly ImageName[];

/** What an R2RDeployment needs; the trainer takes minutes to build, and an R2RRouter to be of use. */
export const deploymentImages = ['operator', 'router'] as const satisfies readonly ImageName[];

const debianPackages = ['base-files', 'libc6', 'libstdc++6', 'libgcc-s1', 'busybox-static'];

function pause(gcc: string): ImageBuild {
  return {
    name: 'pause',
    image: pauseImage,
    inputs: hashInputs(['images/pause/*']),
    prepare: async (context) => {
      const source = join(repository, 'images/pause/pause.c');
      await run(gcc, ['-Os', '-static', '-s', '-o', join(context, 'pause'), source]);
    },
  };
}

/** The archive of the pause image, which every pod needs. */
export async function pauseArchive(progress: Progress): Promise<string> {
  const { gcc, buildah } = await debianProgramPaths(['gcc', 'buildah'], progress);
  return ensureArchive(buildah, pause(gcc), progress);
}

function base(mmdebstrap: string): ImageBuild {
  const inputs = hashInputs(['images/base/*'], [process.version, ...debianPackages]);
  return {
    name: 'base',
    image: `r2r.dev/base:${inputs}`,
    inputs,
    prepare: async (context) => {
      const args = ['--variant=extract', `--include=${debianPackages.join(',')}`, 'bookworm', join(context, 'rootfs.tar')];
      await run(mmdebstrap, args, { timeoutMs: 10 * 60_000 });
      await copyFile(process.execPath, join(context, 'node'));
    },
  };
}

/** What the files of an image are made from. */
const sources = ['src/**', 'tools/image-files.ts', 'package.json', 'package-lock.json', 'tsconfig*.json'];

function program(name: (typeof deploymentImages)[number], baseImage: { readonly image: string; readonly archive: string }): ImageBuild {
  const models = name === 'router' ? ['examples/models/**'] : [];
  return {
    name,
    image: imageNames[name],
    inputs: hashInputs([...sources, `images/${name}/*`, ...models], [baseImage.image]),
    base: baseImage,
    prepare: async (context) => {
      await mkdir(join(context, 'tools'));
      const script = join(repository, 'tools/image-files.ts');
      await cp(script, join(context, 'tools/image-files.ts'));
      await run(process.execPath, [script, name, join(context, 'assembled', name)], { timeoutMs: 5 * 60_000 });
    },
  };
}

/** The image that stands in for the official one of Node: its name and archive. */
export async function baseImage(progress: Progress): Promise<{ readonly image: string; readonly archive: string }> {
  const { buildah, mmdebstrap } = await debianProgramPaths(['buildah', 'mmdebstrap'], progress);
  const build = base(mmdebstrap);
  return { image: build.image, archive: await ensureArchive(buildah, build, progress) };
}

/** Archives of these images (built where their inputs changed), by name. Needs root. */
export async function buildImages(names: readonly ImageName[], progress: Progress): Promise<ReadonlyMap<ImageName, string>> {
  const { buildah } = await debianProgramPaths(['buildah'], progress);
  const archives = new Map<ImageName, string>();
  for (const name of names) {
    const archive =
      name === 'trainer'
        ? await trainerArchive(imageNames.trainer, progress)
        : await ensureArchive(buildah, program(name, await baseImage(progress)), progress);
    archives.set(name, archive);
  }
  return archives;
}

/** Builds these images and loads them into the local node, each only when it changed since the last time. Returns their full names. */
export async function loadImages(cluster: Cluster, names: readonly ImageName[], progress: Progress): Promise<string[]> {
  const present = await cluster.images();
  for (const [name, archive] of await buildImages(names, progress)) {
    const mark = join(stateFolder, `image-${name}`);
    const loaded = await readFile(mark, 'utf8').catch(() => '');
    if (loaded === archive && present.includes(imageNames[name])) {
      progress(`${imageNames[name]} is up to date`);
      continue;
    }
    await cluster.importImage(archive);
    await writeFile(mark, archive);
    progress(`loaded ${imageNames[name]} into the node`);
  }
  return names.map((name) => imageNames[name]);
}
