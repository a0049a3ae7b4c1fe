import { readFile } from 'node:fs/promises';
import { FetchError } from '../../model/fetch/errors.ts';
import { fetchHubDatasetFile, listHubDataset, type HubDatasetOptions, type HubDatasetUri } from '../../model/fetch/hub-dataset.ts';
import { PipelineError } from '../errors.ts';
import type { DatasetEntry } from '../params.ts';
import type { SourceAccess } from '../step.ts';
import type { RowSource } from './source.ts';
import { filesOfSplit } from './split-files.ts';

const form = /^hf:\/\/datasets\/([A-Za-z0-9][A-Za-z0-9._-]*(?:\/[A-Za-z0-9][A-Za-z0-9._-]*)?)(?:@([A-Za-z0-9][A-Za-z0-9._/-]*))?$/;
const cardName = 'README.md';

/** A split on a Hugging Face hub, at the commit that its revision is now. @throws PipelineError; the signal's reason */
export async function openHubSource(entry: DatasetEntry, access: SourceAccess, signal: AbortSignal): Promise<RowSource> {
  const [, repository, revision = 'main'] = form.exec(entry.path) ?? [];
  if (repository === undefined || entry.path.includes('..')) {
    const problem = `data set ${entry.name}: ${entry.path} is no data set on a hub`;
    throw new PipelineError('PIPELINE_SOURCE', problem, 'write hf://datasets/<org>/<repo>[@revision]', { field: 'path' });
  }
  const { hubEndpoint, hubToken, cacheFolder } = access;
  if (hubEndpoint === undefined) {
    const problem = `data set ${entry.name}: which hub has ${entry.path} is not known`;
    throw new PipelineError('PIPELINE_SOURCE', problem, 'set HF_ENDPOINT (--hf-endpoint) to https://<host>', { field: 'path' });
  }
  const options = { hub: { endpoint: hubEndpoint, token: hubToken }, cacheFolder };
  const { commit, files } = await fetching(entry, signal, () => listHubDataset({ repository, revision }, { ...options, signal }));
  const pinned: HubDatasetUri = { repository, revision: commit };
  const get = async (file: string, within: AbortSignal): Promise<string> => {
    const asking: HubDatasetOptions = { ...options, signal: within };
    return (await fetching(entry, within, () => fetchHubDatasetFile(pinned, file, asking))).path;
  };
  const card = files.includes(cardName) ? await readFile(await get(cardName, signal), 'utf8') : undefined;
  return {
    address: `hf://datasets/${repository}@${commit}`,
    files: filesOfSplit(files, card, entry).map((file) => ({ ...file, fetch: (within) => get(file.path, within) })),
  };
}

async function fetching<T>({ name, split }: DatasetEntry, signal: AbortSignal, fetch: () => Promise<T>): Promise<T> {
  try {
    return await fetch();
  } catch (cause) {
    if (signal.aborted) throw cause;
    const place = `data set ${name}, split ${split}`;
    if (cause instanceof FetchError) {
      const { retryable, code } = cause;
      const as = code === 'FETCH_NO_SPACE' ? 'PIPELINE_NO_SPACE' : 'PIPELINE_SOURCE';
      const options = { field: 'path', cause, retryable };
      throw new PipelineError(as, `${place}: ${cause.message}`, 'then run the step again, it goes on where it was', options);
    }
    const problem = `${place}: the download cannot be kept (${cause instanceof Error ? cause.message : String(cause)})`;
    throw new PipelineError('PIPELINE_WORKSPACE', problem, 'make the cache a folder that can be written', { cause });
  }
}
