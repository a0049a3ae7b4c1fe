import { BundleStore, S3Blobs } from '../../../src/model/store/index.ts';

/** A process of its own that stores a bundle, to be killed: `node storing-process.ts <folder> <bucket> <prefix> <endpoint> <credentials folder>`. */
const [, , folder = '', bucket = '', prefix = '', endpoint = '', credentialsFolder = ''] = process.argv;
const limits = { retryDelaysMs: [100, 200, 400, 800, 1_600, 3_200] };
const store = new BundleStore(new S3Blobs({ bucket, prefix, settings: { endpoint, credentialsFolder }, limits }));
const stored = await store.put(folder, new AbortController().signal).then(
  ({ digest }) => digest,
  (error: unknown) => String(error),
);
process.stdout.write(`${stored}\n`);
process.exit();
