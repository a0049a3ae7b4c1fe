import { fetchArtifact } from '../../../src/model/fetch/index.ts';

/** A process of its own that fetches, to be killed: `node fetching-process.ts <address> <cache folder> <hub>`. */
const [, , uri = '', cacheFolder = '', endpoint = ''] = process.argv;
const { path, digest } = await fetchArtifact(uri, {
  cacheFolder,
  hub: { endpoint },
  claimFolder: (claim) => `/models/${claim}`,
  signal: new AbortController().signal,
  progress: ({ receivedBytes }) => process.stdout.write(`${receivedBytes}\n`),
  limits: { retryDelaysMs: [] },
}).catch((error: unknown) => ({ path: String(error), digest: null }));
process.stdout.write(`${JSON.stringify({ path, digest })}\n`);
