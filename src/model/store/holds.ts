import { z } from 'zod';
import type { Blobs } from './blobs.ts';
import { StoreError } from './errors.ts';

/** Somebody who needs a bundle. */
export interface Pin {
  /** Such as `namespace/name`. */
  readonly owner: string;
  /** Null: until it is taken away. */
  readonly expiresMs: number | null;
}

const pinSchema = z.object({ owner: z.string(), expiresMs: z.number().nullable() });
const markSchema = z.object({ markedMs: z.number() });

/** How far the clocks of two machines may be apart. */
const clockMarginMs = 60_000;
/** A deletion takes seconds; a mark of this age was left by a killed one. */
export const deletionMs = 10 * 60_000;
const ownerForm = /^[a-z0-9][a-z0-9.-]*(?:\/[a-z0-9][a-z0-9.-]*)?$/;

/**
 * Keeps those who need a bundle and those who delete it apart, without a lock that a killed one could hold and without a store that can compare
 * and swap. Who needs it writes a pin and then looks for marks of deletion; who deletes it writes a mark and then looks for pins. Whatever the
 * order, one of the two sees the other, and steps back; both may.
 */
export class Holds {
  readonly #blobs: Blobs;
  readonly #now: () => number;

  constructor(blobs: Blobs, now: () => number) {
    this.#blobs = blobs;
    this.#now = now;
  }

  /** An owner's pin, unless it has expired. */
  async find(digest: string, owner: string, signal: AbortSignal): Promise<Pin | undefined> {
    const parsed = pinSchema.safeParse(jsonOf(await this.#blobs.read(this.#pinKey(digest, owner), signal)));
    return parsed.success && this.#isActive(parsed.data.expiresMs) ? { owner, expiresMs: parsed.data.expiresMs } : undefined;
  }

  /** @throws StoreError `STORE_INVALID` */
  async write(digest: string, { owner, expiresMs }: Pin, signal: AbortSignal): Promise<void> {
    if (expiresMs !== null && !(expiresMs + clockMarginMs > this.#now()))
      throw new StoreError('STORE_INVALID', this.#blobs.address(`pins/${digest}`), 'expiresMs: lies in the past', 'give a later time');
    const text = JSON.stringify({ owner, expiresMs });
    await this.#blobs.write(this.#pinKey(digest, owner), Buffer.from(text), signal);
  }

  async remove(digest: string, owner: string, signal: AbortSignal): Promise<void> {
    await this.#blobs.remove(this.#pinKey(digest, owner), signal);
  }

  /** Pins that have not expired. One that cannot be read counts, for whoever wrote it. */
  async list(digest: string, signal: AbortSignal): Promise<readonly Pin[]> {
    return (await this.#read(digest, signal)).filter(({ expiresMs }) => this.#isActive(expiresMs));
  }

  async removeExpired(digest: string, signal: AbortSignal): Promise<void> {
    for (const { owner, expiresMs } of await this.#read(digest, signal))
      if (!this.#isActive(expiresMs)) await this.remove(digest, owner, signal);
  }

  async mark(digest: string, id: string, signal: AbortSignal): Promise<number> {
    const markedMs = this.#now();
    await this.#blobs.write(`deleting/${digest}/${id}.json`, Buffer.from(JSON.stringify({ markedMs })), signal);
    return markedMs;
  }

  async unmark(digest: string, ids: readonly string[], signal: AbortSignal): Promise<void> {
    for (const id of ids) await this.#blobs.remove(`deleting/${digest}/${id}.json`, signal);
  }

  /** Deletions of this bundle, by whether their process must be gone. */
  async marks(digest: string, signal: AbortSignal): Promise<{ readonly alive: readonly string[]; readonly stale: readonly string[] }> {
    const alive: string[] = [];
    const stale: string[] = [];
    for (const { key, writtenMs } of await this.#blobs.list(`deleting/${digest}/`, signal)) {
      const id = /([^/]+)\.json$/.exec(key)?.[1];
      if (id === undefined) continue;
      const parsed = markSchema.safeParse(jsonOf(await this.#blobs.read(key, signal)));
      const markedMs = parsed.success ? parsed.data.markedMs : writtenMs;
      (markedMs + deletionMs + clockMarginMs > this.#now() ? alive : stale).push(id);
    }
    return { alive, stale };
  }

  async #read(digest: string, signal: AbortSignal): Promise<readonly Pin[]> {
    const found = await Promise.all(
      (await this.#blobs.list(`pins/${digest}/`, signal)).map(async ({ key }): Promise<readonly Pin[]> => {
        const bytes = await this.#blobs.read(key, signal);
        if (bytes === undefined) return [];
        const parsed = pinSchema.safeParse(jsonOf(bytes));
        const owner = key
          .slice(`pins/${digest}/`.length)
          .replace(/\.json$/, '')
          .replace('=', '/');
        return [parsed.success ? { owner, expiresMs: parsed.data.expiresMs } : { owner, expiresMs: null }];
      }),
    );
    return found.flat().toSorted((a, b) => (a.owner < b.owner ? -1 : 1));
  }

  #isActive(expiresMs: number | null): boolean {
    return expiresMs === null || expiresMs + clockMarginMs > this.#now();
  }

  #pinKey(digest: string, owner: string): string {
    if (!ownerForm.test(owner) || owner.length > 320) {
      const address = this.#blobs.address(`pins/${digest}`);
      throw new StoreError('STORE_INVALID', address, `owner: ${JSON.stringify(owner.slice(0, 80))} is none`, 'write <namespace>/<name>');
    }
    return `pins/${digest}/${owner.replace('/', '=')}.json`;
  }
}

function jsonOf(bytes: Uint8Array | undefined): unknown {
  try {
    return JSON.parse(Buffer.from(bytes ?? []).toString('utf8'));
  } catch {
    return undefined;
  }
}
