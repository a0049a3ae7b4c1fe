import { randomUUID } from 'node:crypto';
import { link, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FetchError } from '../fetch/errors.ts';
import { hasCode } from '../fetch/partial-file.ts';

/** How a lock shows that its holder lives, in ms. */
export interface LockTiming {
  /** The holder writes so often. */
  readonly beatMs: number;
  /** One that nobody has written to for so long, seen by the one who waits, has lost its holder. */
  readonly staleMs: number;
}

/** A volume of the network may show what another node writes some seconds late. */
const defaultTiming: LockTiming = { beatMs: 3_000, staleMs: 20_000 };

/**
 * One process at a time works on a folder, on any node that mounts it: a file that its holder writes to. Nobody's clock is compared with
 * another's: who waits watches the file, and takes it over when it has stood still for too long, as it does behind a killed process. Should a
 * holder that only slept wake up then, two work for a moment; what they do must stand that, and `lost` tells the first one.
 */
export class FolderLock {
  readonly #path: string;
  readonly #id: string;
  readonly #lost = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #beats = 0;
  #beating: Promise<void> = Promise.resolve();

  private constructor(path: string, id: string, { beatMs }: LockTiming) {
    this.#path = path;
    this.#id = id;
    this.#timer = setInterval(() => {
      this.#beating = this.#beating.then(() => this.#beat());
    }, beatMs);
    this.#timer.unref();
  }

  /**
   * Waits for the lock.
   *
   * @param isDone - whether what it is wanted for has been done by its holder
   * @returns undefined when that is so
   * @throws the signal's reason
   */
  static async acquire(
    path: string,
    isDone: () => Promise<boolean>,
    signal: AbortSignal,
    timing: LockTiming = defaultTiming,
  ): Promise<FolderLock | undefined> {
    const id = randomUUID();
    let seen: { readonly text: string; readonly atMs: number } | undefined;
    for (;;) {
      signal.throwIfAborted();
      if (await isDone()) return undefined;
      if (await create(path, textOf(id, 0))) return new FolderLock(path, id, timing);
      const text = await read(path);
      const nowMs = performance.now();
      if (text === undefined) continue;
      if (seen?.text !== text) seen = { text, atMs: nowMs };
      else if (nowMs - seen.atMs > timing.staleMs) await takeAway(path, text);
      await sleep(Math.min(timing.beatMs, timing.staleMs) / 2, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Aborts when another process has taken it over. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
    if (!(await read(this.#path))?.startsWith(this.#id)) return;
    for (const name of await tracesOf(this.#path)) await rm(name, { force: true });
  }

  /** Whether somebody has it, or was killed while having it or taking it over. */
  static async leavesTraces(path: string): Promise<boolean> {
    return (await tracesOf(path)).length > 0;
  }

  async #beat(): Promise<void> {
    const text = await read(this.#path).catch(() => undefined);
    if (text !== undefined && !text.startsWith(this.#id)) {
      const fix = 'none: it goes on there, and the next try finds what it has done';
      this.#lost.abort(
        new FetchError('FETCH_UNAVAILABLE', this.#path, 'another process has taken over the folder', fix, { retryable: true }),
      );
    }
    if (this.#lost.signal.aborted) return;
    this.#beats++;
    await overwrite(this.#path, textOf(this.#id, this.#beats)).catch(() => undefined);
  }
}

/** The lock itself the last. */
async function tracesOf(path: string): Promise<readonly string[]> {
  const names = (await readdir(dirname(path))).filter((name) => name === basename(path) || name.startsWith(`${basename(path)}.`));
  return names.map((name) => join(dirname(path), name)).sort((a, b) => b.length - a.length);
}

/** Of one length, so that it can be written over. */
function textOf(id: string, beats: number): string {
  return `${id} ${String(beats).padStart(12, '0')}\n`;
}

/** @returns whether there was none */
async function create(path: string, text: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx');
    try {
      await handle.writeFile(text);
    } finally {
      await handle.close();
    }
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/** Opened anew each time, which is when a client of a network volume asks its server. */
async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Only where it still is: a holder must not make again what was taken away. */
async function overwrite(path: string, text: string): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    await handle.write(text, 0);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Renaming is for one alone; it may have been another one's lock by then, which is put back. */
async function takeAway(path: string, text: string): Promise<void> {
  const away = `${path}.${randomUUID()}`;
  try {
    await rename(path, away);
    if ((await read(away)) !== text) await link(away, path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'EEXIST')) throw error;
  } finally {
    await rm(away, { force: true });
  }
}
