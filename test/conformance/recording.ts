import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One exchange with a real SGLang 0.5.23, as recorded. */
export interface Recording {
  readonly name: string;
  readonly request: { readonly method: string; readonly path: string; readonly body?: unknown; readonly body_raw?: string };
  readonly response: {
    readonly status: number | null;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: unknown;
    readonly body_text?: string;
    readonly sse_raw_by_tcp_read?: readonly { readonly bytes: string }[];
  };
}

export const recordingsFolder = join(import.meta.dirname, 'recordings');

export function readRecording(name: string): Recording {
  return JSON.parse(readFileSync(join(recordingsFolder, `${name}.json`), 'utf8')) as Recording;
}

/** What came back over HTTP: a status, and a body as JSON, text, or server-sent events. */
export interface Answer {
  readonly status: number;
  readonly contentType: string | null;
  readonly json: unknown;
  readonly text: string;
  readonly events: readonly unknown[] | undefined;
}

/** JSON of each server-sent event; `[DONE]` stays a string. */
export function parseEvents(text: string): unknown[] {
  return text
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => (event === 'data: [DONE]' ? '[DONE]' : (JSON.parse(event.slice(6)) as unknown)));
}

/** Events of a recorded stream. */
export function recordedEvents({ response }: Recording): unknown[] | undefined {
  return response.sse_raw_by_tcp_read && parseEvents(response.sse_raw_by_tcp_read.map(({ bytes }) => bytes).join(''));
}

/** Sends a request and reads the whole answer. */
export async function send(base: string, request: Recording['request']): Promise<Answer> {
  const body = request.body_raw ?? (request.body === undefined ? undefined : JSON.stringify(request.body));
  const init = { method: request.method, ...(body !== undefined && { body, headers: { 'content-type': 'application/json' } }) };
  const response = await fetch(base + request.path, init).catch((error: unknown) => {
    // servers close idle connections after 5 s; one that is closed just as we write to it is not the server's answer
    if (!(error instanceof Error && error.cause instanceof Error && 'code' in error.cause && error.cause.code === 'ECONNRESET'))
      throw error;
    return fetch(base + request.path, init);
  });
  const text = await response.text();
  const contentType = response.headers.get('content-type');
  const isStream = contentType?.startsWith('text/event-stream') ?? false;
  return {
    status: response.status,
    contentType,
    json: contentType === 'application/json' ? (JSON.parse(text) as unknown) : undefined,
    text,
    events: isStream ? parseEvents(text) : undefined,
  };
}
