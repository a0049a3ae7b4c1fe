/** The trainer's image on the local node, and what stands in for the official PyTorch image there: Debian's PyTorch, for the CPU. */
import { cp, glob, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './commands.ts';
import { debianProgramPaths } from './debian-packages.ts';
import { ensureArchive, hashInputs, repository, type ImageBuild } from './image-builds.ts';
import type { Progress } from './progress.ts';

const debianPackages = [
  'base-files',
  'busybox-static',
  'libc6',
  'libgcc-s1',
  'libopenblas0-pthread',
  'libstdc++6',
  'python3',
  'python3-matplotlib',
  'python3-numpy',
  'python3-pip',
  'python3-setuptools',
  'python3-torch',
  'python3-wheel',
  'python3.11',
];

/** Parts of pyarrow that reading and writing tables does without. */
const leftOut = ['pyarrow/{include,src,tests}', 'pyarrow/*flight*', 'pyarrow/*.{pxd,pxi,pyx}'];

const requirementsFile = 'trainer/requirements.txt';

/** The line of trainer/requirements.txt that pins it. */
export function pinned(name: string, requirements: string): string {
  const line = requirements.split('\n').find((each) => each.startsWith(`${name}==`));
  if (line === undefined) throw new Error(`${requirementsFile} does not pin ${name}`);
  return line.trim();
}

async function pytorch(mmdebstrap: string, pip: string): Promise<ImageBuild> {
  const pyarrow = pinned('pyarrow', await readFile(join(repository, requirementsFile), 'utf8'));
  const inputs = hashInputs(['images/pytorch/*'], [...debianPackages, pyarrow, ...leftOut]);
  const folder = join(repository, 'images/pytorch');
  return {
    name: 'pytorch',
    image: `r2r.dev/pytorch:${inputs}`,
    inputs,
    prepare: async (context) => {
      const reduce = `--extract-hook=chroot "$1" /usr/bin/python3 - < '${join(folder, 'reduction.py')}'`;
      const include = `--include=${debianPackages.join(',')}`;
      await run(mmdebstrap, ['--variant=extract', include, reduce, 'bookworm', join(context, 'rootfs.tar')], { timeoutMs: 20 * 60_000 });
      const packages = join(context, 'packages');
      const which = ['--target', packages, '--no-deps', '--no-compile', '--python-version=3.11', '--only-binary=:all:'];
      await run(pip, ['install', '--quiet', ...which, pyarrow], { timeoutMs: 10 * 60_000 });
      for await (const path of glob(leftOut, { cwd: packages })) await rm(join(packages, path), { recursive: true, force: true });
      await cp(join(folder, 'pip.conf'), join(context, 'pip.conf'));
    },
  };
}

/** Which files of the repository go into the image. */
const sources = ['trainer/pyproject.toml', 'trainer/r2r_trainer/*.py', 'examples/models/slm/*'];

function trainer(image: string, base: { readonly image: string; readonly archive: string }): ImageBuild {
  return {
    name: 'trainer',
    image,
    inputs: hashInputs(['images/trainer/*', ...sources], [base.image]),
    base,
    prepare: async (context) => {
      for await (const path of glob(sources, { cwd: repository })) await cp(join(repository, path), join(context, path));
    },
  };
}

/** The archive of the trainer's image, built where its inputs changed. Needs root. */
export async function trainerArchive(image: string, progress: Progress): Promise<string> {
  const { buildah, mmdebstrap, pip3 } = await debianProgramPaths(['buildah', 'mmdebstrap', 'pip3'], progress);
  const build = await pytorch(mmdebstrap, pip3);
  const base = { image: build.image, archive: await ensureArchive(buildah, build, progress) };
  return ensureArchive(buildah, trainer(image, base), progress);
}
