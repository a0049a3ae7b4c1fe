import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical-json.ts';

/** A model on a Hugging Face hub, at a branch, tag or commit. */
export interface HubModel {
  readonly org: string;
  readonly repo: string;
  readonly revision: string;
}

const defaultRevision = 'main';
const part = '[A-Za-z0-9][A-Za-z0-9._-]{0,95}';

/** `hf://<org>/<repo>` or `hf://<org>/<repo>@<revision>`, as a regular expression. */
export const hubModelForm = `^hf://${part}/${part}(@[A-Za-z0-9][A-Za-z0-9._/-]{0,127})?$`;

/** The model of an `hf://` address; undefined for an address of another form. */
export function parseHubModel(address: string): HubModel | undefined {
  if (!new RegExp(hubModelForm).test(address)) return undefined;
  const [repository = '', revision = defaultRevision] = address.slice('hf://'.length).split('@');
  const [org = '', repo = ''] = repository.split('/');
  return { org, repo, revision };
}

/**
 * The folder of a model in a cache, below the claim's root. Two deployments that ask the same hub for the same model have one, and another
 * revision or hub another.
 *
 * @param endpoint - of the hub. @default the public one
 */
export function hubModelFolder({ org, repo, revision }: HubModel, endpoint?: string): string {
  const identity = canonicalJson({ org, repo, revision, endpoint: endpoint?.replace(/\/+$/, '') });
  return `hub/${org}--${repo}--${createHash('sha256').update(identity).digest('hex').slice(0, 16)}`;
}
