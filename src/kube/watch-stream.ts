import { ApiError, ResponseError, type StatusBody } from './errors.ts';
import type { KubeObject, Live } from './object.ts';

/** `ERROR` events are thrown as {@link ApiError} and never seen here. */
export type WatchEvent<T extends KubeObject> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: Live<T> }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string };

/** The lines of a byte stream. A last line without its newline is a cut answer: {@link ResponseError}. */
export async function* lines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let pending = '';
  for await (const chunk of chunks) {
    const parts = (pending + decoder.decode(chunk, { stream: true })).split('\n');
    pending = parts.pop() ?? '';
    for (const line of parts) if (line.trim() !== '') yield line;
  }
  if (pending.trim() !== '') throw new ResponseError(`the watch ended within a line: ${pending.slice(0, 80)}`);
}

/** One line of a watch. Throws {@link ApiError} for an `ERROR` event and {@link ResponseError} for what is none. */
export function parseWatchEvent<T extends KubeObject>(line: string, request: string): WatchEvent<T> | undefined {
  let event: { readonly type?: unknown; readonly object?: unknown };
  try {
    event = JSON.parse(line) as typeof event;
  } catch (error) {
    throw new ResponseError(`${request}: a watch line is not JSON: ${line.slice(0, 80)}`, { cause: error });
  }
  const { type, object } = event;
  if (typeof object !== 'object' || object === null)
    throw new ResponseError(`${request}: a watch line has no object: ${line.slice(0, 80)}`);
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type, object: object as Live<T> };
    case 'BOOKMARK':
      return { type, resourceVersion: (object as Live<T>).metadata.resourceVersion };
    case 'ERROR': {
      const status: StatusBody = object;
      throw new ApiError(request, status.code ?? 500, status);
    }
    default:
      // a type from the future is no reason to lose the watch
      return undefined;
  }
}
