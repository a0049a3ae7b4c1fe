import { createHash, timingSafeEqual } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { RequestHandler } from 'express';
import { ApiError } from '../errors.ts';
import type { Log } from '../log.ts';
import { pollFiles } from '../polled-files.ts';
import type { Unsubscribe } from '../sources.ts';

const hashOf = (key: string): Buffer => createHash('sha256').update(key).digest();

/** The keys a client may show. Only their hashes are kept. */
export class ApiKeys {
  #hashes: readonly Buffer[] = [];

  get size(): number {
    return this.#hashes.length;
  }

  replace(keys: readonly string[]): void {
    this.#hashes = keys.map(hashOf);
  }

  /** Takes the same time for every key of one length: all hashes are compared, each in constant time. */
  accepts(key: string): boolean {
    const hash = hashOf(key);
    let matches = 0;
    for (const known of this.#hashes) matches += Number(timingSafeEqual(known, hash));
    return matches > 0;
  }
}

/**
 * Keeps the keys of a file (one a line), or of all files in a folder (a mounted Secret), in force; a change is taken over within a second.
 * Several keys are valid at once, so that they can be rotated.
 *
 * @returns after the first reading; without any key every request is refused
 */
export async function watchApiKeys(
  path: string,
  log: Log,
  everyMs?: number,
): Promise<{ readonly keys: ApiKeys; readonly stop: Unsubscribe }> {
  const keys = new ApiKeys();
  const take = (text: string): void => {
    keys.replace(keysIn(text));
    if (keys.size === 0) log.error({ path }, 'there is no API key: every request is refused');
    else log.info({ path, keys: keys.size }, 'API keys in force');
  };
  const stop = await pollFiles(
    () => readAll(path),
    take,
    (err) => log.error({ path, err }, 'API keys cannot be read'),
    everyMs,
  );
  return { keys, stop };
}

function keysIn(text: string): readonly string[] {
  const lines = text.split('\n').map((line) => line.trim());
  return [...new Set(lines.filter((line) => line !== ''))];
}

/** A file's text, or that of all files in a folder; names that start with a dot are how Kubernetes swaps a Secret's contents. */
async function readAll(path: string): Promise<string> {
  if (!(await stat(path)).isDirectory()) return await readFile(path, 'utf8');
  const names = (await readdir(path)).filter((name) => !name.startsWith('.')).sort();
  return (await Promise.all(names.map((name) => readFile(join(path, name), 'utf8')))).join('\n');
}

/** Refuses requests that show none of the keys as `Authorization: Bearer KEY`. */
export function requireApiKey(keys: ApiKeys): RequestHandler {
  return (request, response, next) => {
    const shown = /^bearer +(\S+) *$/i.exec(request.get('authorization') ?? '')?.[1];
    // Compared even if there is nothing to compare, so that a malformed header costs the same.
    const accepted = keys.accepts(shown ?? '');
    if (shown !== undefined && accepted) {
      next();
      return;
    }
    response.setHeader('www-authenticate', 'Bearer realm="r2r"');
    throw new ApiError(
      'invalid_api_key',
      shown === undefined
        ? 'this router takes requests with an API key only; send the header "Authorization: Bearer KEY"'
        : 'the API key is not one of those this router takes',
    );
  };
}
