import { mkdir } from 'node:fs/promises';
import { Agent, type Dispatcher } from 'undici';
import { z } from 'zod';
import { FetchError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { FetchedArtifact } from './fetched-artifact.ts';
import { askJson, type Page } from './hub-api.ts';
import { credentialsOf, endpointOf, fetchFromHub, isCommit, type HubOptions } from './hub.ts';
import { defaultLimits, type FetchLimits } from './limits.ts';

/** A data set on a Hugging Face hub, at a branch, tag or commit. */
export interface HubDatasetUri {
  /** `org/repo`, or the one name that the oldest data sets have. */
  readonly repository: string;
  readonly revision: string;
}

/** What a data set's repository holds at one commit. */
export interface HubDatasetFiles {
  readonly commit: string;
  /** Paths of all files, sorted. */
  readonly files: readonly string[];
}

export interface HubDatasetOptions {
  readonly hub: HubOptions;
  /** Downloads are kept here; made when it is missing. */
  readonly cacheFolder: string;
  readonly signal: AbortSignal;
  readonly limits?: Partial<FetchLimits>;
  /** @default directly, trusting what Node trusts */
  readonly dispatcher?: Dispatcher;
}

const revisionSchema = z.object({ sha: z.string().refine(isCommit) });
const treeSchema = z.array(z.object({ type: z.string(), path: z.string() }));

/** A file of a data set may be much larger than a checkpoint of a router network. */
const datasetLimits: FetchLimits = { ...defaultLimits, maxBytes: 256 * 2 ** 30 };
const maxFiles = 100_000;

/**
 * Asks the hub which commit a revision is, and for the paths of its files: `/api/datasets/<repository>/revision/<revision>` and
 * `…/tree/<commit>?recursive=true`, page after page.
 *
 * @throws FetchError; the signal's reason
 */
export async function listHubDataset(dataset: HubDatasetUri, options: HubDatasetOptions): Promise<HubDatasetFiles> {
  return connected(dataset, options, async (context, endpoint) => {
    const { repository, revision } = dataset;
    const api = `${endpoint.href.replace(/\/+$/, '')}/api/datasets/${repository}`;
    const first = new URL(`${api}/revision/${encodeURIComponent(revision)}`);
    const { value } = await askJson(first, revisionSchema, endpoint, context);
    const files: string[] = [];
    for (let page: URL | undefined = new URL(`${api}/tree/${value.sha}?recursive=true`); page !== undefined;) {
      const listed: Page<z.infer<typeof treeSchema>> = await askJson(page, treeSchema, endpoint, context);
      for (const { type, path } of listed.value) if (type === 'file') files.push(plainPath(path, context.uri));
      if (files.length > maxFiles)
        throw new FetchError('FETCH_TOO_LARGE', context.uri, `has more than ${maxFiles} files`, 'use a data set of fewer, larger files');
      page = listed.next;
    }
    return { commit: value.sha, files: files.sort() };
  });
}

/**
 * Fetches a file of a commit, resumed where an earlier download ended and checked against the digest that the hub lists. One that is in the
 * cache is not asked for again.
 *
 * @throws FetchError; the signal's reason
 */
export async function fetchHubDatasetFile(dataset: HubDatasetUri, file: string, options: HubDatasetOptions): Promise<FetchedArtifact> {
  const [repo = '', ...above] = dataset.repository.split('/').reverse();
  // the hub has data sets below `datasets/`, and calls that folder a part of the owner
  const org = ['datasets', ...above].join('/');
  const uri = `hf://${org}/${repo}/${file}@${dataset.revision}`;
  return connected(dataset, options, async ({ limits, signal, dispatcher }) => {
    await mkdir(options.cacheFolder, { recursive: true });
    const context = { uri, cacheFolder: options.cacheFolder, limits, signal, dispatcher };
    return fetchFromHub({ scheme: 'hf', uri, org, repo, file, revision: dataset.revision }, options.hub, context);
  });
}

async function connected<T>(
  { repository, revision }: HubDatasetUri,
  { hub, signal, limits: given, dispatcher }: HubDatasetOptions,
  action: (context: Exchange, endpoint: URL) => Promise<T>,
): Promise<T> {
  const uri = `hf://datasets/${repository}@${revision}`;
  const limits = { ...datasetLimits, ...given };
  const endpoint = endpointOf(hub, uri);
  const own = new Agent({ connect: { timeout: limits.answerMs } });
  try {
    const credentials = credentialsOf(endpoint, hub.token, uri);
    return await action({ uri, dispatcher: dispatcher ?? own, limits, signal, credentials }, endpoint);
  } finally {
    await own.destroy();
  }
}

/** A path becomes a part of addresses and of file names here. */
function plainPath(path: string, uri: string): string {
  // eslint-disable-next-line no-control-regex
  const odd = /[\0-\x1f\x7f\\]/.test(path) || path.split('/').some((part) => part === '' || part === '.' || part === '..');
  if (!odd && path.length <= 1024) return path;
  throw new FetchError('FETCH_PROTOCOL', uri, `lists a file of the odd name ${JSON.stringify(path.slice(0, 80))}`, 'use another data set');
}
