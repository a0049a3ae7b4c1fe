import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './commands.ts';
import { debianProgramPaths } from './debian-packages.ts';
import { cacheFolder } from './go-programs.ts';
import { locked } from './lock.ts';
import type { Progress } from './progress.ts';
import { pauseImage } from './settings.ts';

const imagesFolder = join(import.meta.dirname, '..', '..', 'images');

export async function pauseArchive(progress: Progress): Promise<string> {
  const source = join(imagesFolder, 'pause');
  const inputs = await Promise.all(['pause.c', 'Dockerfile'].map((name) => readFile(join(source, name))));
  const hash = createHash('sha256').update(Buffer.concat(inputs)).digest('hex').slice(0, 12);
  const folder = join(cacheFolder(), 'images');
  const archive = join(folder, `pause-${hash}.tar`);
  await mkdir(folder, { recursive: true });
  return locked(`${archive}.lock`, progress, async () => {
    if (existsSync(archive)) return archive;
    const { gcc, buildah } = await debianProgramPaths(['gcc', 'buildah'], progress);
    const context = await mkdtemp(join(folder, '.building-'));
    try {
      await run(gcc, ['-Os', '-static', '-s', '-o', join(context, 'pause'), join(source, 'pause.c')]);
      await copyFile(join(source, 'Dockerfile'), join(context, 'Dockerfile'));
      const storage = ['--storage-driver', 'vfs', '--root', join(context, 'storage'), '--runroot', join(context, 'run')];
      await run(buildah, [...storage, 'build', '--isolation', 'chroot', '--tag', pauseImage, context]);
      await run(buildah, [...storage, 'push', pauseImage, `docker-archive:${context}/pause.tar:${pauseImage}`]);
      await rename(join(context, 'pause.tar'), archive);
    } finally {
      await rm(context, { recursive: true, force: true });
    }
    return archive;
  });
}
