import { readFile } from 'node:fs/promises';
import { FetchError, type HubOptions } from '../model/fetch/index.ts';

/** The hub that Hugging Face's own programs ask unless `HF_ENDPOINT` names another. */
const publicHub = 'https://huggingface.co';

/** Which hub is asked, and with what token. */
export interface HubSettings {
  readonly endpoint: string;
  readonly token?: string;
  /** Wins over `token`, and is read anew for each fetch: a mounted Secret may arrive or change while a router runs. */
  readonly tokenFile?: string;
}

/** Flags first, then Hugging Face's own variables. */
export function hubSettings(
  flags: { readonly 'hf-endpoint'?: string | undefined; readonly 'hf-token-file'?: string | undefined },
  environment: NodeJS.ProcessEnv,
): HubSettings {
  const { 'hf-endpoint': endpoint = environment['HF_ENDPOINT'], 'hf-token-file': tokenFile } = flags;
  const token = environment['HF_TOKEN'];
  return {
    endpoint: endpoint === undefined || endpoint === '' ? publicHub : endpoint,
    ...(token !== undefined && token !== '' && { token }),
    ...(tokenFile !== undefined && { tokenFile }),
  };
}

/**
 * What a fetch of `uri` goes with.
 *
 * @param secret the field of a resource that names the Secret of the token
 * @throws FetchError `FETCH_TOKEN`, retryable, while the file that a token is to come from is missing or empty
 */
export async function hubOptions(
  { endpoint, token, tokenFile }: HubSettings,
  uri: string,
  secret = 'spec.router.checkpoint.tokenSecretRef',
): Promise<HubOptions> {
  if (tokenFile === undefined || !uri.startsWith('hf://')) return { endpoint, token };
  const [text, cause] = await readFile(tokenFile, 'utf8').then(
    (read) => [read.trim(), undefined] as const,
    (error: unknown) => ['', error] as const,
  );
  if (text !== '') return { endpoint, token: text };
  const fix = `store the token there (the Secret of ${secret})`;
  throw new FetchError('FETCH_TOKEN', uri, `there is no token in ${tokenFile} yet`, fix, { retryable: true, cause });
}
