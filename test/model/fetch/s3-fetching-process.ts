import { fetchArtifact } from '../../../src/model/fetch/index.ts';

/** A process of its own that fetches, to be killed: `node s3-fetching-process.ts <address> <cache folder> <endpoint> <credentials folder>`. */
const [, , uri = '', cacheFolder = '', endpoint = '', credentialsFolder = ''] = process.argv;
const { digest } = await fetchArtifact(uri, {
  cacheFolder,
  hub: { endpoint: 'https://hub.invalid' },
  s3: { endpoint, credentialsFolder },
  claimFolder: (claim) => `/models/${claim}`,
  signal: new AbortController().signal,
  progress: ({ receivedBytes }) => process.stdout.write(`${receivedBytes}\n`),
  limits: { retryDelaysMs: [] },
}).catch((error: unknown) => ({ digest: String(error) }));
process.stdout.write(`${digest ?? ''}\n`);
process.exit();
