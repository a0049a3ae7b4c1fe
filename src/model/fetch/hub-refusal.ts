import { FetchError } from './errors.ts';
import { refusal, type Answer, type Exchange } from './exchange.ts';

/** What the hub's refusal means: its header `X-Error-Code` says more than the status, which is 401 for a repository that does not exist too. */
export function hubRefusal(
  answer: Answer,
  uri: string,
  { credentials, tokenField = 'spec.router.checkpoint.tokenSecretRef' }: Pick<Exchange, 'credentials' | 'tokenField'>,
): FetchError {
  const hadToken = credentials !== undefined;
  const tokenFix = `give a token of an account that may read it (--hf-token-file, HF_TOKEN, or ${tokenField})`;
  const code = answer.header('x-error-code');
  const { status } = answer;
  const general = refusal(answer, uri, `the hub at ${answer.url.host}`);
  if (general.retryable) return general;
  if (code === 'GatedRepo') {
    const fix = hadToken
      ? "ask for access on the repository's page with the token's account"
      : `accept its terms on its page, and ${tokenFix}`;
    return new FetchError('FETCH_DENIED', uri, 'the repository is gated', fix);
  }
  if (code === 'RevisionNotFound')
    return new FetchError('FETCH_NOT_FOUND', uri, 'the repository has no such revision', 'correct what stands behind the @');
  if (code === 'EntryNotFound')
    return new FetchError('FETCH_NOT_FOUND', uri, 'the repository has no such file at this revision', 'correct the path of the file');
  if (/^Invalid (credentials|username or password)/i.test(answer.header('x-error-message') ?? ''))
    return new FetchError('FETCH_DENIED', uri, 'the hub does not know the token (it is wrong, or has expired)', 'give another token');
  if (code === 'RepoNotFound' || status === 401 || status === 404) {
    const problem = `there is no such repository, or ${hadToken ? "the token's account may not read it" : 'it is private'}`;
    const fix = hadToken ? `correct its name, or ${tokenFix}` : `correct its name; if it is private, ${tokenFix}`;
    return new FetchError(status === 401 ? 'FETCH_DENIED' : 'FETCH_NOT_FOUND', uri, problem, fix);
  }
  if (status === 403) return new FetchError('FETCH_DENIED', uri, 'the hub forbids it (403)', tokenFix);
  return general;
}
