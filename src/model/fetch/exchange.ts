import { errors, request, type Dispatcher } from 'undici';
import { arriving } from './arriving.ts';
import { FetchError } from './errors.ts';
import type { FetchLimits } from './limits.ts';

/** What one request of a fetch goes with. */
export interface Exchange {
  /** For messages. */
  readonly uri: string;
  readonly dispatcher: Dispatcher;
  readonly limits: FetchLimits;
  readonly signal: AbortSignal;
  /** Sent to this origin only, and never again once a redirect has left it. */
  readonly credentials?: { readonly origin: string; readonly authorization: string } | undefined;
  /** The field of a resource that names the Secret of the hub's token, for messages. @default that of a deployment's checkpoint */
  readonly tokenField?: string;
}

/** A server's answer, its body arriving already. */
export interface Answer {
  readonly status: number;
  /** Where it came from after redirects. */
  readonly url: URL;
  header(name: string): string | undefined;
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the exchange where the body is. */
  abort(reason: Error): void;
}

/** `follows` decides whether a redirect is followed, or is the answer. */
export type Follows = (answer: Answer, target: URL) => boolean;

/**
 * Sends a request and follows redirects, never from https to http.
 *
 * @throws FetchError `FETCH_REDIRECT`, `FETCH_UNTRUSTED`, or `FETCH_UNAVAILABLE` when nobody answers; the signal's reason
 */
export async function exchange(
  method: 'GET' | 'HEAD',
  start: URL,
  headers: Readonly<Record<string, string>>,
  context: Exchange,
  follows: Follows = () => true,
): Promise<Answer> {
  const { uri, limits } = context;
  const seen = new Set<string>();
  let { credentials } = context;
  for (let url = start; ;) {
    seen.add(url.href);
    if (url.origin !== credentials?.origin) credentials = undefined;
    const answer = await once(method, url, { ...headers, ...(credentials && { authorization: credentials.authorization }) }, context);
    if (answer.status < 300 || answer.status >= 400 || answer.status === 304) return answer;
    const target = redirectOf(answer, context);
    if (!follows(answer, target)) return answer;
    discard(answer);
    if (target.protocol !== 'https:' && !(target.protocol === 'http:' && url.protocol === 'http:'))
      throw refusedRedirect(uri, `${url.host} leads to ${target.protocol}//${target.host}, and only https:// is followed`);
    if (seen.has(target.href)) throw refusedRedirect(uri, `${url.host} leads in a circle`);
    if (seen.size > limits.maxRedirects) throw refusedRedirect(uri, `more than ${limits.maxRedirects} redirects, the last by ${url.host}`);
    url = target;
  }
}

function redirectOf(answer: Answer, { uri }: Exchange): URL {
  const location = answer.header('location');
  if (location !== undefined && URL.canParse(location, answer.url.href)) return new URL(location, answer.url);
  discard(answer);
  throw refusedRedirect(uri, `${answer.url.host} answered ${answer.status} without saying where to go`);
}

function refusedRedirect(uri: string, problem: string): FetchError {
  return new FetchError('FETCH_REDIRECT', uri, problem, 'give the address that the file really has');
}

async function once(
  method: 'GET' | 'HEAD',
  url: URL,
  headers: Readonly<Record<string, string>>,
  { uri, dispatcher, limits, signal }: Exchange,
): Promise<Answer> {
  signal.throwIfAborted();
  const abort = new AbortController();
  const onAbort = (): void => abort.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const late = new FetchError('FETCH_UNAVAILABLE', uri, `${url.host} did not answer within ${limits.answerMs} ms`, tryLater, {
    retryable: true,
  });
  const timer = setTimeout(() => abort.abort(late), limits.answerMs);
  try {
    const response = await request(url, {
      method,
      // compressed bytes would have another length and digest
      headers: { 'user-agent': 'r2r', 'accept-encoding': 'identity', ...headers },
      dispatcher,
      signal: abort.signal,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    response.body.once('close', () => signal.removeEventListener('abort', onAbort));
    return {
      status: response.statusCode,
      url,
      header: (name) => [response.headers[name]].flat()[0],
      body: arriving(response.body),
      abort: (reason) => abort.abort(reason),
    };
  } catch (error) {
    signal.removeEventListener('abort', onAbort);
    throw failure(error, uri, url, signal);
  } finally {
    clearTimeout(timer);
  }
}

const tryLater = 'check the network, or try again later';

/** What a failed connection or body means. The signal's reason and a FetchError stay what they are. */
export function failure(error: unknown, uri: string, url: URL, signal: AbortSignal): Error {
  if (signal.aborted) return signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason));
  if (error instanceof FetchError) return error;
  const code = codeOf(error);
  if (/CERT|SIGNATURE|^ERR_TLS|SELF_SIGNED/.test(code)) {
    const fix = 'have the server present a certificate that this machine trusts';
    return new FetchError('FETCH_UNTRUSTED', uri, `the certificate of ${url.host} is not trusted (${code})`, fix, { cause: error });
  }
  if (error instanceof errors.InvalidArgumentError) return error;
  const what = code === '' ? String(error) : code;
  return new FetchError('FETCH_UNAVAILABLE', uri, `${url.host} cannot be read (${what})`, tryLater, { retryable: true, cause: error });
}

/** undici wraps the system's errors, and several of them where a name has several addresses. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  if ('code' in error && typeof error.code === 'string') return error.code;
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  return codeOf(error.cause);
}

/** Lets go of an answer whose body nobody wants. */
export function discard(answer: Answer): void {
  answer.abort(new Error('not wanted'));
}

/** `Retry-After`, in seconds or as a date. */
export function retryAfterMs(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value.trim())) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}

/** What an answer that is no success means on any server. Lets go of the answer. */
export function refusal(answer: Answer, uri: string, what = answer.url.host): FetchError {
  discard(answer);
  const { status } = answer;
  const waitMs = retryAfterMs(answer.header('retry-after'), Date.now());
  if (status === 404 || status === 410)
    return new FetchError('FETCH_NOT_FOUND', uri, `${what} has no such file (${status})`, 'correct the address');
  if (status === 401 || status === 403)
    return new FetchError('FETCH_DENIED', uri, `${what} does not give it to everybody (${status})`, 'publish it where no login is needed');
  if (status === 408 || status === 425 || status === 429 || status >= 500)
    return new FetchError('FETCH_UNAVAILABLE', uri, `${what} answered ${status}`, tryLater, { retryable: true, retryAfterMs: waitMs });
  return new FetchError('FETCH_REFUSED', uri, `${what} answered ${status}`, 'check the address');
}
