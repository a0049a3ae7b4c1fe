import type { z } from 'zod';
import { FetchError } from './errors.ts';
import { discard, exchange, failure, type Answer, type Exchange } from './exchange.ts';
import { hubRefusal } from './hub-refusal.ts';
import { retrying } from './retry.ts';

const maxPageBytes = 16 * 2 ** 20;

/** A page of an answer. */
export interface Page<T> {
  readonly value: T;
  /** Where the hub says that it goes on. */
  readonly next: URL | undefined;
}

/**
 * Asks the hub's API.
 *
 * @throws FetchError; the signal's reason
 */
export function askJson<T>(url: URL, schema: z.ZodType<T>, endpoint: URL, context: Exchange): Promise<Page<T>> {
  return retrying(
    async () => {
      const answer = await exchange('GET', url, {}, context);
      if (answer.status !== 200) throw hubRefusal(answer, context.uri, context);
      const parsed = schema.safeParse(jsonOf(await bodyOf(answer, context)));
      if (parsed.success) return { value: parsed.data, next: nextOf(answer, endpoint, context) };
      throw unexpected(context.uri, endpoint, 'does not answer as a hub does');
    },
    context.limits,
    context.signal,
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function bodyOf(answer: Answer, { uri, signal }: Exchange): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of answer.body) {
      bytes += chunk.byteLength;
      if (bytes > maxPageBytes) throw unexpected(uri, answer.url, `sends a list of more than ${maxPageBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    discard(answer);
    throw failure(error, uri, answer.url, signal);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** `Link: <address>; rel="next"` */
function nextOf(answer: Answer, endpoint: URL, { uri }: Exchange): URL | undefined {
  const link = /<([^>]*)>\s*;[^,]*\brel="?next\b/.exec(answer.header('link') ?? '')?.[1];
  if (link === undefined) return undefined;
  const url = URL.canParse(link, answer.url.href) ? new URL(link, answer.url) : undefined;
  if (url?.origin === endpoint.origin && url.href !== answer.url.href) return url;
  throw unexpected(uri, endpoint, 'leads elsewhere for the rest of its list');
}

export function unexpected(uri: string, { host }: URL, problem: string): FetchError {
  return new FetchError('FETCH_PROTOCOL', uri, `${host} ${problem}`, 'check HF_ENDPOINT (--hf-endpoint) and any proxy on the way');
}
