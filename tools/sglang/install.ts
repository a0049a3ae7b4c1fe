import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const here = import.meta.dirname;

export const sglangVersion = '0.5.23';
const requirements = join(here, `requirements-${sglangVersion}.txt`);
const shim = join(here, 'sgl_kernel.py');
/** The frozen requirements were taken with this Python; other versions have other wheels. */
const pythons = ['python3.11', 'python3'];
const lockPollMs = 1000;
/** An install takes minutes; a lock older than this belongs to one that died. */
const staleLockMs = 30 * 60_000;

/** A real SGLang for CPUs, ready to be started. */
export interface SGLangInstallation {
  readonly version: string;
  /** Holds the virtual environment (about 7 GB); may be mounted elsewhere, even read-only. */
  readonly folder: string;
  readonly python: string;
}

/** SGLang cannot be installed here; the message says what is missing. */
export class SGLangInstallError extends Error {
  readonly code = 'SGLANG_INSTALL_FAILED';
}

async function findPython(): Promise<string> {
  const seen: string[] = [];
  for (const command of pythons) {
    const answer = await run(command, ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])']).catch(() => undefined);
    if (answer?.stdout.trim() === '3.11') return command;
    if (answer) seen.push(`${command} is ${answer.stdout.trim()}`);
  }
  throw new SGLangInstallError(
    `SGLang ${sglangVersion} needs Python 3.11 with venv (${seen.join(', ') || 'no python3 found'}): install it, for example with pyenv`,
  );
}

async function step(log: (line: string) => void, command: string, args: readonly string[]): Promise<void> {
  log(`  ${[command.split('/').at(-1), ...args.slice(0, 5)].join(' ')} …`);
  try {
    await run(command, [...args], { maxBuffer: 64 * 2 ** 20 });
  } catch (cause) {
    const tail = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim().split('\n').slice(-5).join('\n') : String(cause);
    throw new SGLangInstallError(`installing SGLang failed: ${tail}`, { cause });
  }
}

async function build(folder: string, log: (line: string) => void): Promise<void> {
  const environment = join(folder, 'venv');
  await rm(environment, { recursive: true, force: true });
  await step(log, await findPython(), ['-m', 'venv', environment]);
  const python = join(environment, 'bin/python');
  // every package is pinned as it was when it worked, without the resolver: the CUDA-only ones are left out on purpose
  await step(log, python, ['-m', 'pip', 'install', '--quiet', '--no-compile', '--no-deps', '--requirement', requirements]);
  const [library = ''] = (await readdir(join(environment, 'lib'))).filter((name) => name.startsWith('python'));
  const target = join(environment, 'lib', library, 'site-packages/sgl_kernel');
  await mkdir(target, { recursive: true });
  await copyFile(shim, join(target, '__init__.py'));
  const check = 'import sglang.srt.entrypoints.http_server, sglang; print(sglang.__version__)';
  await step(log, '/usr/bin/env', ['SGLANG_USE_CPU_ENGINE=1', 'HF_HUB_OFFLINE=1', python, '-W', 'ignore', '-c', check]);
}

/** Takes a lock by making a folder; returns how to give it back. */
async function lock(path: string): Promise<() => Promise<void>> {
  for (;;) {
    try {
      await mkdir(path);
      return () => rm(path, { recursive: true, force: true });
    } catch {
      const age = await stat(path).then(
        ({ mtimeMs }) => Date.now() - mtimeMs,
        () => 0,
      );
      if (age > staleLockMs) await rm(path, { recursive: true, force: true });
      else await new Promise((resolve) => setTimeout(resolve, lockPollMs));
    }
  }
}

/**
 * Installs SGLang for CPUs from the Python package index into a folder outside the repository, named by what it is made of; a finished one
 * is used again. Takes two minutes and 7 GB the first time. Throws `SGLangInstallError`.
 */
export async function installSGLang(log: (line: string) => void): Promise<SGLangInstallation> {
  const recipe = createHash('sha256')
    .update(await readFile(requirements))
    .update(await readFile(shim));
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'r2r-kubernetes');
  const folder = join(cache, `sglang-${sglangVersion}-${recipe.digest('hex').slice(0, 8)}`);
  const installation = { version: sglangVersion, folder, python: join(folder, 'venv/bin/python') };
  const marker = join(folder, 'installed');
  const isThere = () =>
    stat(marker).then(
      () => true,
      () => false,
    );
  if (await isThere()) return installation;
  await mkdir(folder, { recursive: true });
  const unlock = await lock(join(folder, 'lock'));
  try {
    if (await isThere()) return installation;
    log(`installing SGLang ${sglangVersion} for CPUs into ${folder} (two minutes, 7 GB)`);
    await build(folder, log);
    await writeFile(marker, `${new Date().toISOString()}\n`);
    return installation;
  } finally {
    await unlock();
  }
}
