import { FetchError } from './errors.ts';

/** Where a checkpoint or bundle is had from, by the form of its address. The forms are those of the resource (`api/checkpoint-uri.ts`). */
export type ArtifactUri =
  | { readonly scheme: 'path'; readonly uri: string; readonly path: string }
  | { readonly scheme: 'pvc'; readonly uri: string; readonly claim: string; readonly path: string }
  | { readonly scheme: 'https'; readonly uri: string; readonly url: URL }
  | {
      readonly scheme: 'hf';
      readonly uri: string;
      readonly org: string;
      readonly repo: string;
      readonly file: string;
      readonly revision: string;
    };

const claimForm = /^pvc:\/\/([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)((?:\/[A-Za-z0-9._@+=%-]+)+)\/?$/;
const hubForm =
  /^hf:\/\/([A-Za-z0-9][A-Za-z0-9._-]*)\/([A-Za-z0-9][A-Za-z0-9._-]*)\/([A-Za-z0-9._+=-]+(?:\/[A-Za-z0-9._+=-]+)*)@([A-Za-z0-9][A-Za-z0-9._/-]*)$/;
const maxLength = 1024;

/**
 * Reads an address. What has no scheme must be an absolute path: `org/repo` is neither a file here nor tried as a repository.
 *
 * @throws FetchError `FETCH_URI_INVALID` saying what to write; `FETCH_UNSUPPORTED` for a download that is no `.pt` file
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
    refuseOther(file, uri);
    return { scheme: 'hf', uri, org, repo, file, revision };
  }
  if (uri.startsWith('https://')) return parseWeb(uri, invalid);
  if (scheme === 'http') throw invalid('http:// is refused, because nobody could tell what arrives', 'write https://');
  throw invalid(`nothing is fetched over ${scheme}`, 'write an absolute path, https://, hf:// or pvc://');
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
  refuseOther(url.pathname, uri);
  return { scheme: 'https', uri, url };
}

function refuseTraversal(path: string, invalid: Refusal): void {
  const parts = path.split('/').map((part) => part.replace(/%2e/gi, '.'));
  if (parts.includes('.') || parts.includes('..')) throw invalid('has "." or ".." as a part of the path', 'write the full path');
}

function refuseOther(file: string, uri: string): void {
  if (file.endsWith('.pt')) return;
  const fix = "name the checkpoint's .pt file; a bundle is a folder, which comes with the image or on a claim (pvc://)";
  throw new FetchError('FETCH_UNSUPPORTED', uri, 'only .pt checkpoints are downloaded', fix);
}

function hasControl(text: string): boolean {
  return Buffer.from(text).some((byte) => byte < 0x20 || byte === 0x7f);
}
