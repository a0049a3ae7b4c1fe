import { z } from 'zod';
import { FetchError } from '../fetch/errors.ts';
import type { Exchange } from '../fetch/exchange.ts';
import { askJson } from '../fetch/hub-api.ts';
import { hubFileMetadata, isCommit, type HubUri } from '../fetch/hub.ts';
import { retrying } from '../fetch/retry.ts';
import { chooseFiles } from './model-files.ts';
import type { ModelFile, ModelPlan } from './model-folder.ts';
import { inParallel } from './parallel.ts';

/** A model on a Hugging Face hub, at a branch, tag or commit. */
export interface HubModelUri {
  readonly org: string;
  readonly repo: string;
  readonly revision: string;
}

const modelSchema = z.object({ sha: z.string().refine(isCommit), siblings: z.array(z.object({ rfilename: z.string() })).default([]) });

/** Questions about files at a time. */
const questionsAtOnce = 8;

export function modelText({ org, repo, revision }: HubModelUri): string {
  return `hf://${org}/${repo}@${revision}`;
}

/** The address of a file at a commit. */
export function fileUri({ org, repo }: HubModelUri, file: string, commit: string): HubUri {
  return { scheme: 'hf', uri: `hf://${org}/${repo}/${file}@${commit}`, org, repo, file, revision: commit };
}

/**
 * Asks the hub which commit a revision is and which files it has (`/api/models/<org>/<repo>/revision/<revision>`), and for length and digest of
 * those that are needed, as its own clients do.
 *
 * @throws FetchError, `FETCH_UNSUPPORTED` where there is no model that could be served; the signal's reason
 */
export async function planModel(model: HubModelUri, endpoint: URL, context: Exchange): Promise<ModelPlan> {
  const { org, repo, revision } = model;
  const api = new URL(`${endpoint.href.replace(/\/+$/, '')}/api/models/${org}/${repo}/revision/${encodeURIComponent(revision)}`);
  const { value } = await askJson(api, modelSchema, endpoint, context);
  const chosen = chooseFiles(
    value.siblings.map(({ rfilename }) => rfilename),
    context.uri,
  );
  const files: ModelFile[] = [];
  const ask = async (path: string, signal: AbortSignal): Promise<void> => {
    const uri = fileUri(model, path, value.sha);
    const asking = { ...context, uri: uri.uri, signal };
    const { etag, bytes } = await retrying(() => hubFileMetadata(uri, endpoint, asking), context.limits, signal);
    if (bytes === undefined)
      throw new FetchError('FETCH_PROTOCOL', uri.uri, `${endpoint.host} does not say how long it is`, 'use another hub or mirror');
    files.push({ path, bytes, digest: etag });
  };
  // the first one alone: where the hub refuses, it refuses all of them
  await ask('config.json', context.signal);
  await inParallel(
    chosen.filter((path) => path !== 'config.json'),
    questionsAtOnce,
    context.signal,
    ask,
  );
  const byPath = files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { formatVersion: 1, model: modelText(model), commit: value.sha, files: byPath };
}
