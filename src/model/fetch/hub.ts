import { basename } from 'node:path';
import { ArtifactStore, type StoredArtifact } from './artifact-store.ts';
import type { ArtifactUri } from './artifact-uri.ts';
import { digestsOf } from './digest.ts';
import { FetchError } from './errors.ts';
import { discard, exchange, refusal, type Answer, type Exchange } from './exchange.ts';
import type { FetchedArtifact } from './fetched-artifact.ts';
import { hubRefusal } from './hub-refusal.ts';
import { PartialFile } from './partial-file.ts';
import { receive, type GrowingFile, type Receiving } from './receive.ts';
import { retrying } from './retry.ts';

/** Where the hub is, and who asks. */
export interface HubOptions {
  /** Base address, as `HF_ENDPOINT` has it. http:// is for a hub of one's own; a token goes over it on this machine only. */
  readonly endpoint: string;
  readonly token?: string | undefined;
}

export type HubUri = Extract<ArtifactUri, { readonly scheme: 'hf' }>;

/** What the hub says of a file before it is downloaded. */
export interface HubFileMetadata {
  readonly commit: string;
  /** sha256 (64 digits) of a file in large-file storage, else the git object id (40 digits): the bytes can be checked against either. */
  readonly etag: string;
  readonly bytes: number | undefined;
}

/**
 * Fetches a file from a Hugging Face hub as its own clients do: metadata from the headers of a HEAD request for
 * `<endpoint>/<org>/<repo>/resolve/<revision>/<file>`, then the bytes of that commit, resumed where an earlier download ended and checked
 * against the digest that the hub lists. Large files are redirected to other hosts, which get no token. A commit that is in the cache is not
 * asked for again.
 *
 * The hub's JavaScript client (`@huggingface/hub`) is maintained and MIT, but its cache download neither resumes nor checks a digest nor retries
 * (2.17, download-file-to-cache-dir.ts), and it brings a WebAssembly package for a storage protocol that a plain download does without.
 *
 * @throws FetchError; the signal's reason
 */
export async function fetchFromHub(
  uri: HubUri,
  hub: HubOptions,
  context: Omit<Receiving, 'gained' | 'credentials'>,
): Promise<FetchedArtifact> {
  const { signal, limits } = context;
  const store = new ArtifactStore(context.cacheFolder, 'hf', uri.uri);
  if (isCommit(uri.revision)) {
    const cached = await store.version(uri.revision, signal);
    if (cached) return fetched(cached, true);
  }
  const endpoint = endpointOf(hub, uri.uri);
  const asking = { ...context, credentials: credentialsOf(endpoint, hub.token, uri.uri) };
  let found: HubFileMetadata;
  try {
    found = await retrying(() => hubFileMetadata(uri, endpoint, asking), limits, signal);
  } catch (error) {
    const last = error instanceof FetchError && error.retryable ? await store.latest(signal) : undefined;
    if (!last) throw error;
    return fetched(last, false);
  }
  const cached = await store.version(found.commit, signal);
  if (cached?.record.etag === found.etag) return fetched(cached, true);
  const source = `hf://${uri.org}/${uri.repo}/${uri.file}@${found.commit}`;
  const same = await store.withEtag(found.etag, signal);
  if (same) return fetched(await store.add(found.commit, { ...same.record, source }, same), true);

  let mismatches = 0;
  const download = async (gained: (bytes: number) => void): Promise<StoredArtifact> => {
    const partial = (await PartialFile.resume(store.downloads, found.etag)) ?? (await PartialFile.create(store.downloads, found.etag, ''));
    try {
      await completeHubFile(partial, uri, endpoint, found, { ...asking, gained });
      const { sha256, gitBlob } = await digestsOf(partial.handle, partial.bytes, signal);
      const digest = found.etag.length === 64 ? sha256 : gitBlob;
      if (digest !== found.etag) {
        await partial.discard();
        const problem = `what ${endpoint.host} sent has the digest ${digest}, and it lists ${found.etag}`;
        const fix = 'do not use this file; check the mirror or proxy that it comes through';
        throw new FetchError('FETCH_DIGEST_MISMATCH', uri.uri, problem, fix, { retryable: ++mismatches < 2 });
      }
      const record = { source, file: basename(uri.file), digest: sha256, bytes: partial.bytes, etag: found.etag };
      return await store.add(found.commit, record, partial);
    } finally {
      await partial.leave();
    }
  };
  return fetched(await retrying(download, limits, signal), true);
}

function fetched({ path, record }: StoredArtifact, fresh: boolean): FetchedArtifact {
  return { path, kind: 'file', digest: record.digest, source: record.source, fresh };
}

/**
 * Asks for what is missing of a file.
 *
 * @throws FetchError; the signal's reason
 */
export async function completeHubFile(
  partial: GrowingFile,
  uri: HubUri,
  endpoint: URL,
  { commit, bytes }: HubFileMetadata,
  context: Receiving,
): Promise<void> {
  if (bytes !== undefined && partial.bytes > bytes) await partial.truncate();
  if (partial.bytes === bytes && bytes > 0) return;
  const range = partial.bytes > 0 ? { range: `bytes=${partial.bytes}-` } : undefined;
  // of the commit: a branch may move between two tries
  const answer = await exchange('GET', resolveUrl(endpoint, uri, commit), { ...range }, context);
  if (answer.status === 416) {
    discard(answer);
    await partial.truncate();
    throw new FetchError('FETCH_UNAVAILABLE', uri.uri, `${answer.url.host} refuses to go on`, 'try again later', { retryable: true });
  }
  if (answer.status !== 200 && answer.status !== 206) throw storageRefusal(answer, endpoint, uri, context);
  const start = answer.status === 206 ? Number(/^bytes (\d+)-/.exec(answer.header('content-range') ?? '')?.[1]) : 0;
  // a server that knows no ranges sends all of it
  if (start === 0) await partial.truncate();
  if (start !== partial.bytes) {
    discard(answer);
    throw new FetchError('FETCH_PROTOCOL', uri.uri, `${answer.url.host} sent another range than the one asked for`, 'use another mirror');
  }
  await receive(answer, partial, bytes, context);
}

/** A storage host's refusal is about its address, which the hub signs for a while: the next try gets a new one. */
function storageRefusal(answer: Answer, endpoint: URL, uri: HubUri, context: Exchange): FetchError {
  if (answer.url.origin === endpoint.origin) return hubRefusal(answer, uri.uri, context);
  const refused = refusal(answer, uri.uri, `the hub's storage ${answer.url.host}`);
  if (refused.retryable) return refused;
  const problem = `the hub's storage ${answer.url.host} answered ${answer.status}`;
  return new FetchError('FETCH_UNAVAILABLE', uri.uri, problem, 'try again later', { retryable: true });
}

/**
 * Asks which commit and digest a file has.
 *
 * @throws FetchError; the signal's reason
 */
export async function hubFileMetadata(uri: HubUri, endpoint: URL, context: Exchange): Promise<HubFileMetadata> {
  const isFound = (answer: Answer): boolean => answer.header('x-repo-commit') !== undefined && answer.header('x-linked-etag') !== undefined;
  // a repository that was renamed is redirected within the hub; a redirect elsewhere is for the bytes
  const answer = await exchange('HEAD', resolveUrl(endpoint, uri, uri.revision), {}, context, (redirect, target) => {
    return target.origin === endpoint.origin && !isFound(redirect);
  });
  if (answer.status >= 400) throw hubRefusal(answer, uri.uri, context);
  discard(answer);
  const redirected = answer.status >= 300;
  const commit = answer.header('x-repo-commit') ?? '';
  const etag = (answer.header('x-linked-etag') ?? (redirected ? '' : (answer.header('etag') ?? '')))
    .replace(/^W\//, '')
    .replace(/^"|"$/g, '');
  const size = answer.header('x-linked-size') ?? (redirected ? undefined : answer.header('content-length'));
  if (!isCommit(commit) || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag) || (isCommit(uri.revision) && commit !== uri.revision)) {
    const problem = `${endpoint.host} does not say which commit and digest the file has, so that nobody could check it`;
    const fix = 'check HF_ENDPOINT (--hf-endpoint) and any proxy on the way';
    throw new FetchError('FETCH_PROTOCOL', uri.uri, problem, fix);
  }
  return { commit, etag, bytes: size !== undefined && /^\d+$/.test(size) ? Number(size) : undefined };
}

function resolveUrl(endpoint: URL, { org, repo, file }: HubUri, revision: string): URL {
  const path = file.split('/').map(encodeURIComponent).join('/');
  return new URL(`${endpoint.href.replace(/\/+$/, '')}/${org}/${repo}/resolve/${encodeURIComponent(revision)}/${path}`);
}

/** @throws FetchError `FETCH_URI_INVALID` */
export function endpointOf({ endpoint }: HubOptions, uri: string): URL {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '' && url.search === '') return url;
  throw new FetchError('FETCH_URI_INVALID', uri, "the hub's address is none", 'set HF_ENDPOINT (--hf-endpoint) to https://<host>');
}

/** @throws FetchError `FETCH_TOKEN` */
export function credentialsOf(endpoint: URL, token: string | undefined, uri: string): Exchange['credentials'] {
  if (token === undefined || token === '') return undefined;
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new FetchError('FETCH_TOKEN', uri, "the hub's token has spaces or line breaks within", 'store the token alone');
  if (endpoint.protocol === 'http:' && !/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(endpoint.hostname)) {
    const problem = `the hub's token is not sent to ${endpoint.host} over http://, where everybody could read it`;
    throw new FetchError('FETCH_TOKEN', uri, problem, 'use https://, or no token');
  }
  return { origin: endpoint.origin, authorization: `Bearer ${token}` };
}

export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}
