import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One exchange with a real SGLang 0.5.23, as it was recorded. */
export interface Recording {
  readonly name: string;
  readonly request: { readonly method: string; readonly path: string; readonly body?: unknown };
  readonly response: {
    readonly status: number;
    readonly body?: unknown;
    readonly body_text?: string;
    readonly sse_raw_by_tcp_read?: readonly { readonly bytes: string }[];
  };
}

export function recording(name: string): Recording {
  return JSON.parse(readFileSync(join(import.meta.dirname, 'recordings', `${name}.json`), 'utf8')) as Recording;
}

/** The body of the response as the server sent it. */
export function bodyText({ response }: Recording): string {
  return response.body_text ?? JSON.stringify(response.body);
}
