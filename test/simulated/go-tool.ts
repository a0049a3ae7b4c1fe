/** Programs built from the Go module proxy at the version that a go.mod of ours pins, once for each change of it. */
import { createHash } from 'node:crypto';
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run, tryRun } from '../cluster/commands.ts';
import { cacheFolder } from '../cluster/go-programs.ts';
import { locked } from '../cluster/lock.ts';
import type { Progress } from '../cluster/progress.ts';

export interface GoTool {
  /** Of the cached file. */
  readonly name: string;
  /** Folder with go.mod, go.sum and tools.go. */
  readonly folder: string;
  /** The module whose version counts, such as `sigs.k8s.io/kwok`. */
  readonly module: string;
  /** The main package. */
  readonly program: string;
}

export const kwok: GoTool = {
  name: 'kwok',
  folder: join(import.meta.dirname, 'kwok'),
  module: 'sigs.k8s.io/kwok',
  program: 'sigs.k8s.io/kwok/cmd/kwok',
};

/** The controller that ours is compared with. */
export const peer: GoTool = {
  name: 'rollouts-controller',
  folder: join(import.meta.dirname, 'peer'),
  module: 'github.com/argoproj/argo-rollouts',
  program: 'github.com/argoproj/argo-rollouts/cmd/rollouts-controller',
};

/** Absolute path of the program, built first where it is missing (a few minutes). Processes that ask at once build once. */
export async function goTool(tool: GoTool, progress: Progress): Promise<string> {
  const inputs = await Promise.all(['go.mod', 'go.sum'].map((name) => readFile(join(tool.folder, name), 'utf8')));
  const version = await toolVersion(tool);
  const hash = createHash('sha256').update(inputs.join('\0')).digest('hex').slice(0, 8);
  const folder = join(cacheFolder(), `${tool.name}-${version}-${hash}`);
  const path = join(folder, tool.name);
  if (await isThere(path)) return path;
  await mkdir(folder, { recursive: true });
  await locked(join(folder, '.lock'), progress, async () => {
    if (await isThere(path)) return;
    if ((await tryRun('go', ['version'])) === undefined)
      throw new Error(`Go 1.25 or newer must be in PATH to build ${tool.name} (once; https://go.dev/dl).`);
    progress(`building ${tool.name} ${version}, once: some minutes on two cores`);
    const scratch = join(folder, '.building');
    try {
      await run('go', ['build', '-trimpath', '-ldflags', '-s -w', '-o', scratch, tool.program], {
        cwd: tool.folder,
        env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false', GOWORK: 'off' },
        timeoutMs: 60 * 60_000,
      });
      await rename(scratch, path);
    } finally {
      await rm(scratch, { force: true });
    }
  });
  return path;
}

/** As its go.mod pins it, without the `v`. */
export async function toolVersion({ folder, module }: GoTool): Promise<string> {
  const goMod = await readFile(join(folder, 'go.mod'), 'utf8');
  const version = new RegExp(`^\\s*(?:require )?${module.replaceAll('.', '\\.')} v(\\S+)`, 'm').exec(goMod)?.[1];
  if (version === undefined) throw new Error(`${folder}/go.mod requires no ${module}`);
  return version;
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Folder of the module's own files in Go's cache, for what it ships beside the program. */
export async function moduleFolder({ folder, module }: GoTool): Promise<string> {
  const env = { ...process.env, GOFLAGS: '-mod=readonly', GOWORK: 'off' };
  await run('go', ['mod', 'download', module], { cwd: folder, env, timeoutMs: 10 * 60_000 });
  return (await run('go', ['list', '-m', '-f', '{{.Dir}}', module], { cwd: folder, env })).trim();
}
