/** The image of pods in which a stock SGLang serves on CPU, on the local node. Not among those that every cluster gets. */
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cluster } from '../../test/cluster/cluster.ts';
import { run } from '../../test/cluster/commands.ts';
import { debianProgramPaths } from '../../test/cluster/debian-packages.ts';
import { ensureArchive, hashInputs, repository, type ImageBuild } from '../../test/cluster/image-builds.ts';
import { imageNames } from '../../test/cluster/images.ts';
import type { Progress } from '../../test/cluster/progress.ts';

/** Named and numbered like the images that are published. */
export const sglangCpuImage = imageNames.router.replace('/router:', '/sglang-cpu:');

/** Python with its standard library, what PyTorch links to, lscpu (SGLang asks it for the processors), and a shell to look around with. */
const debianPackages = [
  'base-files',
  'busybox-static',
  'libc6',
  'libgcc-s1',
  'libstdc++6',
  'libgomp1',
  'python3.11',
  'python3',
  'util-linux',
];

function python(mmdebstrap: string): ImageBuild {
  const inputs = hashInputs(['images/python/*'], debianPackages);
  return {
    name: 'python',
    image: `r2r.dev/python:${inputs}`,
    inputs,
    prepare: async (context) => {
      const args = ['--variant=extract', `--include=${debianPackages.join(',')}`, 'bookworm', join(context, 'rootfs.tar')];
      await run(mmdebstrap, args, { timeoutMs: 10 * 60_000 });
    },
  };
}

function sglangCpu(base: { readonly image: string; readonly archive: string }): ImageBuild {
  const models = 'examples/models';
  return {
    name: 'sglang-cpu',
    image: sglangCpuImage,
    inputs: hashInputs(['images/sglang-cpu/*', `${models}/**`], [base.image]),
    base,
    prepare: (context) => cp(join(repository, models), join(context, models), { recursive: true }),
  };
}

/** Builds the image if anything in it changed, loads it into the local node and returns its name. Needs root. */
export async function loadSglangImage(cluster: Cluster, progress: Progress): Promise<string> {
  const { buildah, mmdebstrap } = await debianProgramPaths(['buildah', 'mmdebstrap'], progress);
  const build = python(mmdebstrap);
  const base = { image: build.image, archive: await ensureArchive(buildah, build, progress) };
  await cluster.importImage(await ensureArchive(buildah, sglangCpu(base), progress));
  return sglangCpuImage;
}
