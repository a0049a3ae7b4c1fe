/**
 * A real SGLang that serves on CPU, from PyPI alone: 2 minutes and 7 GB, once per machine. What only a GPU could load is left out (see
 * requirements-0.5.23.txt), one package is replaced by sgl_kernel.py, and no file of SGLang's is changed.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run, tryRun } from '../../test/cluster/commands.ts';
import { cacheFolder } from '../../test/cluster/go-programs.ts';
import { locked } from '../../test/cluster/lock.ts';
import { duration, type Progress } from '../../test/cluster/progress.ts';
import { sglangEnvironment } from './on-cpu.ts';

export const sglangVersion = '0.5.23';

/** A real SGLang for CPUs, ready to be started. */
export interface SGLangInstallation {
  readonly version: string;
  /** Holds everything, named by what it is made of. */
  readonly folder: string;
  /** The interpreter that imports it, for servers on this machine. */
  readonly python: string;
  /** The folder of Python packages, which a Python 3.11 elsewhere (a container) can use through PYTHONPATH, even read-only. */
  readonly sitePackages: string;
}

/** SGLang cannot be installed here; the message says what is missing and how to get it. */
export class SGLangInstallError extends Error {
  readonly code = 'SGLANG_INSTALL_FAILED';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SGLangInstallError';
  }
}

const requirements = join(import.meta.dirname, `requirements-${sglangVersion}.txt`);
const standIn = join(import.meta.dirname, 'sgl_kernel.py');
const scratchPrefix = '.building-';

/** Imports what a server imports, its model classes included; this leaves compiled files behind, so that read-only mounts start fast, too. */
const importCheck = `
import sglang, sglang.srt.entrypoints.http_server, sglang.srt.managers.scheduler
from sglang.srt.models.registry import ModelRegistry
assert "Qwen2ForCausalLM" in ModelRegistry.get_supported_archs()`;

function recipeDigest(): string {
  return [requirements, standIn].reduce((hash, file) => hash.update(readFileSync(file)), createHash('sha256')).digest('hex');
}

/**
 * Makes SGLang usable on this machine, in a folder under `~/.cache`, or finds that it is there. Of two at once, the second waits; a killed
 * one leaves nothing that counts. Throws {@link SGLangInstallError}.
 */
export async function installSGLang(progress: Progress): Promise<SGLangInstallation> {
  const folder = join(cacheFolder(), `sglang-${sglangVersion}-${recipeDigest().slice(0, 8)}`);
  const marker = join(folder, 'installed');
  const venv = join(folder, 'venv');
  if (!existsSync(marker)) {
    await locked(join(folder, 'lock'), progress, async () => {
      if (existsSync(marker)) return;
      await install(folder, venv, progress);
      await writeFile(marker, `${new Date().toISOString()}\n`);
    });
  }
  return { version: sglangVersion, folder, ...programs(venv) };
}

const programs = (venv: string) => ({
  python: join(venv, 'bin', 'python'),
  sitePackages: join(venv, 'lib', 'python3.11', 'site-packages'),
});

/** A virtual environment may be renamed, as long as its programs are run as modules; so it appears whole or not at all. */
async function install(folder: string, venv: string, progress: Progress): Promise<void> {
  const interpreter = await findPython();
  // Only the lock's holder is here, so an older scratch folder belongs to an installation that was killed.
  for (const name of readdirSync(folder)) if (name.startsWith(scratchPrefix)) await rm(join(folder, name), { recursive: true });
  const started = Date.now();
  progress(`installing SGLang ${sglangVersion} for CPU from PyPI, once: 7 GB, some minutes`);
  const scratch = await mkdtemp(join(folder, scratchPrefix));
  try {
    await chmod(scratch, 0o755);
    await run(interpreter, ['-m', 'venv', scratch], { timeoutMs: 5 * 60_000 });
    const { python, sitePackages } = programs(scratch);
    await pipInstall(python, progress, started);
    await mkdir(join(sitePackages, 'sgl_kernel'));
    await copyFile(standIn, join(sitePackages, 'sgl_kernel', '__init__.py'));
    progress(`trying its imports (${duration(Date.now() - started)})`);
    await check(python);
    await rm(venv, { recursive: true, force: true });
    await rename(scratch, venv);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  progress(`SGLang ${sglangVersion} is installed after ${duration(Date.now() - started)}; kept in ${folder}`);
}

/** The binary packages pinned are those of one Python version and one kind of machine. */
async function findPython(): Promise<string> {
  const probe = 'import ensurepip, platform, sys, venv; print(*sys.version_info[:2], sys.platform, platform.machine())';
  for (const name of ['python3.11', '/usr/bin/python3.11', 'python3']) {
    if ((await tryRun(name, ['-c', probe]))?.trim() === '3 11 linux x86_64') return name;
  }
  throw new SGLangInstallError(
    `SGLang ${sglangVersion} on CPU needs Linux on x86-64 and a python3.11 with its modules venv and ensurepip, and there is none here. ` +
      'On Debian 12: apt-get install python3.11 python3.11-venv. Elsewhere: pyenv install 3.11.',
  );
}

async function pipInstall(python: string, progress: Progress, started: number): Promise<void> {
  const total = readFileSync(requirements, 'utf8').match(/^[^#\s]+==/gm)?.length ?? 0;
  let found = 0;
  let state = 'collecting';
  const ticker = setInterval(() => progress(`${state} ${found} of ${total} packages (${duration(Date.now() - started)})`), 15_000);
  const pip = ['-m', 'pip', '--disable-pip-version-check', '--no-input', 'install', '--no-compile', '--no-deps', '--progress-bar=off'];
  try {
    // pip reports on standard output, which `run` keeps to itself.
    await run('sh', ['-c', 'exec "$@" >&2', 'sh', 'nice', python, ...pip, '--requirement', requirements], {
      timeoutMs: 60 * 60_000,
      onLine: (line) => {
        if (line.startsWith('Collecting ')) found += 1;
        if (line.startsWith('Installing collected packages')) state = 'unpacking';
      },
    });
  } catch (cause) {
    const said = cause instanceof Error ? `: ${cause.message}` : '';
    throw new SGLangInstallError(`pip could not install SGLang ${sglangVersion} (a repetition downloads only what is missing)${said}`, {
      cause,
    });
  } finally {
    clearInterval(ticker);
  }
}

async function check(python: string): Promise<void> {
  try {
    await run('nice', [python, '-W', 'ignore', '-c', importCheck], {
      env: { ...process.env, ...sglangEnvironment },
      timeoutMs: 10 * 60_000,
    });
  } catch (cause) {
    const said = cause instanceof Error ? `: ${cause.message}` : '';
    throw new SGLangInstallError(`SGLang ${sglangVersion} was installed and cannot be imported${said}`, { cause });
  }
}
