/** Programs built from the Go module proxy at the version that a go.mod of ours pins, once for each change of it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../cluster/commands.ts';
import type { Progress } from '../cluster/progress.ts';
import { goBuild, goEnvironment, madeOnce, requiredVersion } from '../support/go/made-once.ts';

export interface GoTool {
  /** Of the cached file. */
  readonly name: string;
  /** Folder with go.mod, go.sum and tools.go. */
  readonly folder: string;
  /** The module whose version counts, such as `sigs.k8s.io/kwok`. */
  readonly module: string;
  /** The main package. */
  readonly program: string;
  /** The oldest Go that can build it. */
  readonly go: string;
}

export const kwok: GoTool = {
  name: 'kwok',
  folder: join(import.meta.dirname, 'kwok'),
  module: 'sigs.k8s.io/kwok',
  program: 'sigs.k8s.io/kwok/cmd/kwok',
  go: '1.25',
};

/** The controller that ours is compared with. */
export const peer: GoTool = {
  name: 'rollouts-controller',
  folder: join(import.meta.dirname, 'peer'),
  module: 'github.com/argoproj/argo-rollouts',
  program: 'github.com/argoproj/argo-rollouts/cmd/rollouts-controller',
  go: '1.26',
};

/** Absolute path of the program, built first where it is missing (a few minutes). Processes that ask at once build once. */
export async function goTool(tool: GoTool, progress: Progress): Promise<string> {
  const { name, folder, program, go } = tool;
  const inputs = await Promise.all(['go.mod', 'go.sum'].map((each) => readFile(join(folder, each), 'utf8')));
  const version = await toolVersion(tool);
  const about = `building ${name} ${version}, once: some minutes on two cores`;
  const wanted = { name, version, inputs, files: [name], about, go };
  const [path = ''] = await madeOnce(wanted, progress, (_, to) => goBuild(folder, program, to));
  return path;
}

/** As its go.mod pins it, without the `v`. */
export async function toolVersion({ folder, module }: GoTool): Promise<string> {
  const goMod = join(folder, 'go.mod');
  return requiredVersion(await readFile(goMod, 'utf8'), module, goMod);
}

/** Folder of the module's own files in Go's cache, for what it ships beside the program. */
export async function moduleFolder({ folder, module }: GoTool): Promise<string> {
  const options = { cwd: folder, env: goEnvironment(), timeoutMs: 10 * 60_000 };
  await run('go', ['mod', 'download', module], options);
  return (await run('go', ['list', '-m', '-f', '{{.Dir}}', module], options)).trim();
}
