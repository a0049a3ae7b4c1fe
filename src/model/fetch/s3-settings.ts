import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FetchError } from './errors.ts';

/** Which object store is asked, and as whom. Plain data without secrets: those are read from files whenever they are needed. */
export interface S3Settings {
  /** Base address. http:// is for a store of one's own. @default Amazon's of the region */
  readonly endpoint?: string | undefined;
  /** @default us-east-1, which most stores of one's own take */
  readonly region?: string | undefined;
  /** Whether the bucket is the path's first part rather than the host's. @default true with an endpoint, else false */
  readonly pathStyle?: boolean | undefined;
  /** PEM file of the authorities that the endpoint's certificate is checked against, in place of those that Node trusts. */
  readonly caFile?: string | undefined;
  /**
   * Folder with the files `access-key-id`, `secret-access-key` and perhaps `session-token` (or `AWS_ACCESS_KEY_ID` and so on), such as a
   * mounted Secret, which may arrive or change at any time. @default what the cloud gives the pod: web identity, pod identity, instance role
   */
  readonly credentialsFolder?: string | undefined;
}

export interface S3Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** @throws FetchError `FETCH_CREDENTIALS` naming the file, retryable while it is missing or empty */
export async function readS3Keys(folder: string, uri: string): Promise<S3Keys> {
  const required = async (name: string): Promise<string> => {
    const value = await readEither(folder, name, uri);
    if (value !== '') return value;
    const problem = `there is no ${name} in ${folder} yet`;
    const fix = `give the Secret the keys access-key-id and secret-access-key`;
    throw new FetchError('FETCH_CREDENTIALS', uri, problem, fix, { retryable: true });
  };
  const accessKeyId = await required('access-key-id');
  const secretAccessKey = await required('secret-access-key');
  const sessionToken = await readEither(folder, 'session-token', uri);
  return { accessKeyId, secretAccessKey, ...(sessionToken !== '' && { sessionToken }) };
}

async function readEither(folder: string, name: string, uri: string): Promise<string> {
  for (const file of [name, `AWS_${name.replaceAll('-', '_').toUpperCase()}`]) {
    const value = (await readFile(join(folder, file), 'utf8').catch(() => '')).trim();
    if (value === '') continue;
    // a line break within would end a header, and the message must not show the value
    if (/^[\x21-\x7e]+$/.test(value)) return value;
    throw new FetchError('FETCH_CREDENTIALS', uri, `${join(folder, file)} has spaces or line breaks within`, 'store the value alone');
  }
  return '';
}

/** @throws FetchError `FETCH_URI_INVALID` naming the field */
export function assertS3Settings({ endpoint, region }: S3Settings, uri: string): void {
  const invalid = (problem: string, fix: string): FetchError => new FetchError('FETCH_URI_INVALID', uri, problem, fix);
  if (region !== undefined && !/^[a-z0-9][a-z0-9-]{0,62}$/.test(region))
    throw invalid(`region: ${JSON.stringify(region)} is none`, 'write one such as us-east-1');
  if (endpoint === undefined) return;
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '' && url.search === '' && url.hash === '') return;
  throw invalid("endpoint: the object store's address is none", 'write https://<host>[:<port>] without user and query');
}
