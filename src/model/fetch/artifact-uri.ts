import { FetchError } from './errors.ts';

/** Where a checkpoint or bundle is had from, by the form of its address. The forms are those of the resource (`api/checkpoint-uri.ts`). */
export type ArtifactUri =
  | { readonly scheme: 'path'; readonly uri: string; readonly path: string }
  | { readonly scheme: 'pvc'; readonly uri: string; readonly claim: string; readonly path: string }
  | { readonly scheme: 'https'; readonly uri: string; readonly url: URL; readonly bundle?: string }
  | { readonly scheme: 's3'; readonly uri: string; readonly bucket: string; readonly key: string; readonly bundle?: string }
  | {
      readonly scheme: 'hf';
      readonly uri: string;
      readonly org: string;
      readonly repo: string;
      readonly file: string;
      readonly revision: string;
      readonly bundle?: string;
    };

/** What is downloaded. `bundle`: the digest that the address ends with, of which it is the folder; without it the address is a `.pt` file. */
export type RemoteUri = Extract<ArtifactUri, { readonly scheme: 'https' | 's3' | 'hf' }>;

const claimForm = /^pvc:\/\/([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)((?:\/[A-Za-z0-9._@+=%-]+)+)\/?$/;
const hubForm =
  /^hf:\/\/([A-Za-z0-9][A-Za-z0-9._-]*)\/([A-Za-z0-9][A-Za-z0-9._-]*)\/([A-Za-z0-9._+=-]+(?:\/[A-Za-z0-9._+=-]+)*)@([A-Za-z0-9][A-Za-z0-9._/-]*)$/;
const bucketForm = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:\/[A-Za-z0-9._@+=-]+)+)$/;
const digestForm = /(?:^|\/)([0-9a-f]{64})$/;
const maxLength = 1024;

/**
 * Reads an address. What has no scheme must be an absolute path: `org/repo` is neither a file here nor tried as a repository.
 *
 * @throws FetchError `FETCH_URI_INVALID` saying what to write; `FETCH_UNSUPPORTED` for a download that is neither a `.pt` file nor
 * a bundle by its digest
 */
export function parseArtifactUri(uri: string): ArtifactUri {
  const shown = uri.length > maxLength ? `${uri.slice(0, 80)}…` : uri;
  const invalid = (problem: string, fix: string): FetchError => new FetchError('FETCH_URI_INVALID', shown, problem, fix);
  if (uri === '' || uri.length > maxLength || hasControl(uri))
    throw invalid('is no address', `write up to ${maxLength} characters without control characters`);
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(uri)?.[1]?.toLowerCase();
  if (scheme === undefined) return parsePath(uri, invalid);
  if (uri.startsWith('pvc://')) {
    const [, claim, path] = claimForm.exec(uri) ?? [];
    if (claim === undefined || path === undefined) throw invalid('is no file on a claim', 'write pvc://<claim>/<path>');
    refuseTraversal(path, invalid);
    return { scheme: 'pvc', uri, claim, path };
  }
  if (uri.startsWith('hf://')) {
    const [, org, repo, file, revision] = hubForm.exec(uri) ?? [];
    if (org === undefined || repo === undefined || file === undefined || revision === undefined)
      throw invalid('is no file on the hub', 'write hf://<org>/<repo>/<file>@<revision>, such as hf://org/repo/router.pt@main');
    refuseTraversal(`${org}/${repo}/${file}/${revision}`, invalid);
    return { scheme: 'hf', uri, org, repo, file, revision, ...contentOf(file, uri) };
  }
  if (uri.startsWith('s3://')) {
    const [, bucket, path] = bucketForm.exec(uri) ?? [];
    if (bucket === undefined || path === undefined || bucket.includes('..'))
      throw invalid('is no object in a bucket', 'write s3://<bucket>/<key>');
    refuseTraversal(path, invalid);
    return { scheme: 's3', uri, bucket, key: path.slice(1), ...contentOf(path, uri) };
  }
  if (uri.startsWith('https://')) return parseWeb(uri, invalid);
  if (scheme === 'http') throw invalid('http:// is refused, because nobody could tell what arrives', 'write https://');
  throw invalid(`nothing is fetched over ${scheme}`, 'write an absolute path, https://, s3://, hf:// or pvc://');
}

type Refusal = (problem: string, fix: string) => FetchError;

function parsePath(path: string, invalid: Refusal): ArtifactUri {
  if (!path.startsWith('/'))
    throw invalid(
      'is a relative path, which is neither looked up here nor tried as the name of a repository',
      'write an absolute path, or hf://<org>/<repo>/<file>@<revision>',
    );
  refuseTraversal(path, invalid);
  return { scheme: 'path', uri: path, path };
}

function parseWeb(uri: string, invalid: Refusal): ArtifactUri {
  const fix = 'write https://<host>/<path>';
  if (!URL.canParse(uri)) throw invalid('is no address', fix);
  const url = new URL(uri);
  // a signature or a password in an address is shown wherever the address is
  if (url.username !== '' || url.password !== '' || uri.includes('?') || uri.includes('#'))
    throw new FetchError('FETCH_URI_INVALID', `${url.origin}${url.pathname}`, 'has a user, query or fragment', fix);
  refuseTraversal(uri.slice('https://'.length), invalid);
  return { scheme: 'https', uri, url, ...contentOf(url.pathname, uri) };
}

function refuseTraversal(path: string, invalid: Refusal): void {
  const parts = path.split('/').map((part) => part.replace(/%2e/gi, '.'));
  if (parts.includes('.') || parts.includes('..')) throw invalid('has "." or ".." as a part of the path', 'write the full path');
}

function contentOf(file: string, uri: string): { readonly bundle?: string } {
  if (file.endsWith('.pt')) return {};
  const bundle = digestForm.exec(file)?.[1];
  if (bundle !== undefined) return { bundle };
  const fix = "name the checkpoint's .pt file, or a bundle's folder whose name is the bundle's digest";
  throw new FetchError('FETCH_UNSUPPORTED', uri, 'only .pt checkpoints and bundles by their digest are downloaded', fix);
}

/** The address of a file of a bundle. */
export function fileOfBundle<Uri extends RemoteUri>(uri: Uri, name: string): Uri;
export function fileOfBundle(uri: RemoteUri, name: string): RemoteUri {
  switch (uri.scheme) {
    case 'hf':
      return { ...uri, uri: `hf://${uri.org}/${uri.repo}/${uri.file}/${name}@${uri.revision}`, file: `${uri.file}/${name}` };
    case 's3':
      return { ...uri, uri: `${uri.uri}/${name}`, key: `${uri.key}/${name}` };
    case 'https':
      return { ...uri, uri: `${uri.uri}/${name}`, url: new URL(`${uri.url.href}/${name}`) };
  }
}

function hasControl(text: string): boolean {
  return Buffer.from(text).some((byte) => byte < 0x20 || byte === 0x7f);
}
