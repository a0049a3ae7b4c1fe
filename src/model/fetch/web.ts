import { basename } from 'node:path';
import { ArtifactStore, artifactKey, type StoredArtifact } from './artifact-store.ts';
import type { ArtifactUri } from './artifact-uri.ts';
import { digestsOf } from './digest.ts';
import { FetchError } from './errors.ts';
import { discard, exchange, refusal, type Answer } from './exchange.ts';
import type { FetchedArtifact } from './fetched-artifact.ts';
import { PartialFile } from './partial-file.ts';
import { receive, type Receiving } from './receive.ts';
import { retrying } from './retry.ts';

type WebUri = Extract<ArtifactUri, { readonly scheme: 'https' }>;

/** A file of a server that speaks HTTP's conditions and ranges. */
export interface ServedFile {
  readonly scheme: 'https' | 's3';
  readonly uri: string;
  readonly name: string;
  /** Asks for it with these headers: `if-none-match` of what the cache has, `range` and `if-range` of what has begun. */
  readonly ask: (headers: Readonly<Record<string, string>>, context: Receiving) => Promise<Answer>;
  /** The file's sha256 as the server lists it, if it does. */
  readonly sha256Of?: (answer: Answer) => string | undefined;
}

/** Fetches a file over https. @throws FetchError; the signal's reason */
export function fetchFromWeb({ uri, url }: WebUri, context: Omit<Receiving, 'gained'>): Promise<FetchedArtifact> {
  const ask = (headers: Readonly<Record<string, string>>, asking: Receiving): Promise<Answer> => exchange('GET', url, headers, asking);
  return fetchServed({ scheme: 'https', uri, name: basename(url.pathname), ask }, context);
}

/**
 * Fetches a file, resumed where an earlier download of the same version ended, and not at all when the server says that the one in the cache
 * is still the one. Versions are told apart by strong entity tags; what a server sends without one is never resumed.
 *
 * @throws FetchError; the signal's reason
 */
export async function fetchServed(file: ServedFile, context: Omit<Receiving, 'gained'>): Promise<FetchedArtifact> {
  const { signal, limits, cacheFolder } = context;
  const store = new ArtifactStore(cacheFolder, file.scheme, file.uri);
  const last = await store.latest(signal);
  try {
    const stored = await retrying((gained) => once(file, store, last, { ...context, gained }), limits, signal);
    return fetched(file, stored, true);
  } catch (error) {
    if (!last || !(error instanceof FetchError && error.retryable)) throw error;
    return fetched(file, last, false);
  }
}

function fetched({ uri }: ServedFile, { path, record }: StoredArtifact, fresh: boolean): FetchedArtifact {
  return { path, kind: 'file', digest: record.digest, source: uri, fresh };
}

async function once(file: ServedFile, store: ArtifactStore, last: StoredArtifact | undefined, context: Receiving): Promise<StoredArtifact> {
  const key = artifactKey(file.uri);
  const begun = await PartialFile.resume(store.downloads, key);
  let answer: Answer;
  try {
    answer = await file.ask(conditions(begun, last), context);
    if (answer.status === 304 && last) {
      discard(answer);
      await begun?.leave();
      return last;
    }
    if (answer.status !== 200 && answer.status !== 206 && answer.status !== 416) throw refusal(answer, file.uri);
  } catch (error) {
    await begun?.leave();
    throw error;
  }
  const partial = await continued(begun, answer, store, file, key);
  try {
    if (answer.status === 416) discard(answer);
    else await receive(answer, partial, totalOf(answer), context);
    const { sha256 } = await digestsOf(partial.handle, partial.bytes, context.signal);
    await assertDigest(partial, sha256, file, answer);
    const record = { source: file.uri, file: file.name, digest: sha256, bytes: partial.bytes };
    return await store.add(sha256, { ...record, ...(partial.validator !== '' && { etag: partial.validator }) }, partial);
  } finally {
    await (partial.validator === '' ? partial.discard() : partial.leave());
  }
}

async function assertDigest(partial: PartialFile, found: string, { uri, sha256Of }: ServedFile, answer: Answer): Promise<void> {
  const listed = sha256Of?.(answer) ?? found;
  if (listed === found) return;
  await partial.discard();
  const problem = `what ${answer.url.host} sent has the sha256 ${found}, and it lists ${listed}`;
  throw new FetchError('FETCH_DIGEST_MISMATCH', uri, problem, 'do not use it; put the file there again', { retryable: true });
}

/** The rest of what has begun if it is still that version, and nothing if the cache has the newest. */
function conditions(begun: PartialFile | undefined, last: StoredArtifact | undefined): Record<string, string> {
  return {
    ...(last?.record.etag !== undefined && { 'if-none-match': last.record.etag }),
    ...(begun && { range: `bytes=${begun.bytes}-`, 'if-range': begun.validator }),
  };
}

/** What the answer's body is appended to. */
async function continued(
  begun: PartialFile | undefined,
  answer: Answer,
  store: ArtifactStore,
  { uri }: ServedFile,
  key: string,
): Promise<PartialFile> {
  const refuse = async (problem: string): Promise<never> => {
    discard(answer);
    await begun?.discard();
    throw new FetchError('FETCH_PROTOCOL', uri, `${answer.url.host} ${problem}`, 'have it fixed, or use another server', {
      retryable: true,
    });
  };
  const encoding = answer.header('content-encoding') ?? 'identity';
  if (encoding !== 'identity') return refuse(`sends it as ${encoding}, which was not asked for`);
  const [, start, total] = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(answer.header('content-range') ?? '') ?? [];
  if (answer.status === 416) return begun && Number(total) === begun.bytes ? begun : refuse('refuses to go on');
  if (answer.status === 206) return begun && Number(start) === begun.bytes ? begun : refuse('sent another range than the one asked for');
  await begun?.discard();
  return PartialFile.create(store.downloads, key, strongTag(answer.header('etag')));
}

/** Of the whole file. */
function totalOf(answer: Answer): number | undefined {
  const total = answer.status === 206 ? /\/(\d+)$/.exec(answer.header('content-range') ?? '')?.[1] : answer.header('content-length');
  return total !== undefined && /^\d+$/.test(total) ? Number(total) : undefined;
}

/** A tag that names bytes and fits into a file's name; '' for any other. */
function strongTag(etag: string | undefined): string {
  return etag !== undefined && /^"[\x21\x23-\x7e]{1,120}"$/.test(etag) ? etag : '';
}
