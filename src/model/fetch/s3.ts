import { basename } from 'node:path';
import type { ArtifactUri } from './artifact-uri.ts';
import { FetchError } from './errors.ts';
import type { FetchedArtifact } from './fetched-artifact.ts';
import type { Receiving } from './receive.ts';
import { S3Connection } from './s3-client.ts';
import type { S3Settings } from './s3-settings.ts';
import { fetchServed } from './web.ts';

type S3Uri = Extract<ArtifactUri, { readonly scheme: 's3' }>;

/**
 * Fetches an object of an S3-compatible store, resumed where an earlier download of the same version ended. Where the object says which sha256
 * it has (`x-amz-meta-sha256`, as `BundleStore` writes it), what arrived is checked against it.
 *
 * @throws FetchError; the signal's reason
 */
export async function fetchFromS3(
  { uri, bucket, key }: S3Uri,
  settings: S3Settings | undefined,
  context: Omit<Receiving, 'gained'>,
): Promise<FetchedArtifact> {
  if (settings === undefined)
    throw new FetchError('FETCH_CREDENTIALS', uri, 'no object store is set up here', 'give its endpoint and keys, or use another address');
  const connection = await S3Connection.open(settings, context.limits, uri);
  try {
    return await fetchServed(
      {
        scheme: 's3',
        uri,
        name: basename(key),
        ask: (headers, { signal }) => {
          const question = { range: headers['range'], ifMatch: headers['if-range'], ifNoneMatch: headers['if-none-match'] };
          return connection.get(bucket, key, question, signal);
        },
        sha256Of: (answer) => answer.header('x-amz-meta-sha256'),
      },
      context,
    );
  } finally {
    connection.close();
  }
}
