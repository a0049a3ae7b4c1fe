/** What tests need of the Go module proxy: made once for each version and each change of its inputs, and kept outside the repository. */
import { createHash } from 'node:crypto';
import { access, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run, tryRun } from '../../cluster/commands.ts';
import { cacheFolder } from '../../cluster/go-programs.ts';
import { locked } from '../../cluster/lock.ts';
import type { Progress } from '../../cluster/progress.ts';

export interface MadeOnce {
  /** Of its folder in the cache, beside the version. */
  readonly name: string;
  readonly version: string;
  /** Whatever it is made from: a change of one of them is another thing. */
  readonly inputs: readonly string[];
  /** Names of the files, in the order in which they are made. */
  readonly files: readonly string[];
  /** Said before, where they are missing. */
  readonly about: string;
  /** The oldest Go that can make it. */
  readonly go: string;
}

/**
 * Absolute paths of the files, made first where one is missing. Processes that ask at once make them once, and each file is there whole or not
 * at all.
 *
 * @param make - writes one file to a path beside its own
 */
export async function madeOnce(
  { name, version, inputs, files, about, go }: MadeOnce,
  progress: Progress,
  make: (file: string, to: string) => Promise<unknown>,
): Promise<readonly string[]> {
  const hash = createHash('sha256').update(inputs.join('\0')).digest('hex').slice(0, 8);
  const folder = join(cacheFolder(), `${name}-${version}-${hash}`);
  const paths = files.map((file) => join(folder, file));
  const areThere = async (): Promise<boolean> => (await Promise.all(paths.map(isThere))).every(Boolean);
  if (await areThere()) return paths;
  await mkdir(folder, { recursive: true });
  await locked(join(folder, '.lock'), progress, async () => {
    if (await areThere()) return;
    if ((await tryRun('go', ['version'])) === undefined)
      throw new Error(`Go ${go} or newer must be in PATH to make ${name} (once; https://go.dev/dl). The machine has no \`go\`.`);
    progress(about);
    for (const file of files) {
      const scratch = join(folder, `.making-${file}`);
      try {
        await make(file, scratch);
        await rename(scratch, join(folder, file));
      } finally {
        await rm(scratch, { force: true });
      }
    }
    progress(`made ${name}; kept in ${folder}`);
  });
  return paths;
}

/** Of every call of Go for a module of ours: exactly what its go.mod and go.sum pin. */
export const goEnvironment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  CGO_ENABLED: '0',
  GOFLAGS: '-mod=readonly -buildvcs=false',
  GOWORK: 'off',
});

/** @param folder - of the go.mod @param source - the main package */
export async function goBuild(
  folder: string,
  source: string,
  to: string,
  { linkerFlags = '-s -w', flags = [] }: { readonly linkerFlags?: string; readonly flags?: readonly string[] } = {},
): Promise<void> {
  const args = ['build', '-trimpath', ...flags, '-ldflags', linkerFlags, '-o', to, source];
  await run('go', args, { cwd: folder, env: goEnvironment(), timeoutMs: 60 * 60_000 });
}

/** The version of a module that this go.mod requires, without its v. @param place - of the go.mod, for the error */
export function requiredVersion(goMod: string, module: string, place: string): string {
  const version = new RegExp(`^\\s*(?:require )?${module.replaceAll('.', '\\.')} v(\\S+)`, 'm').exec(goMod)?.[1];
  if (version === undefined) throw new Error(`${place} requires no ${module}`);
  return version;
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
