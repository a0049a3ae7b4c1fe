import type { IncomingMessage, ServerResponse } from 'node:http';
import { HttpError } from './http-error.ts';

const maxBodyBytes = 256 * 2 ** 20;

function send(response: ServerResponse, status: number, text: string, contentType: string | undefined): void {
  if (response.destroyed) return;
  response.writeHead(status, { ...(contentType && { 'content-type': contentType }), 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

/** Answers an error; an answer that has begun is cut off instead, and a client that has left gets nothing. */
export function sendError(response: ServerResponse, { status, body }: HttpError): void {
  if (response.headersSent) response.destroy();
  else send(response, status, JSON.stringify(body), 'application/json');
}

/** One HTTP request and its answer. */
export class HttpExchange {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** When the request came, in milliseconds since the epoch. */
  readonly receivedAt = performance.timeOrigin + performance.now();
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #gone = new AbortController();

  constructor(request: IncomingMessage, response: ServerResponse) {
    // what stands here need not be a URL: `//` is none
    const target = request.url ?? '/';
    const mark = target.indexOf('?');
    this.method = request.method ?? 'GET';
    this.path = mark === -1 ? target : target.slice(0, mark);
    this.query = new URLSearchParams(mark === -1 ? '' : target.slice(mark));
    this.#request = request;
    this.#response = response;
    response.on('close', () => {
      if (!response.writableFinished) this.#gone.abort();
    });
  }

  /** Aborts when the client leaves before its answer is complete. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  get contentType(): string {
    return (this.#request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  }

  /** The body as JSON. Throws `HttpError`. */
  async json(): Promise<unknown> {
    const text = await this.#text();
    if (text === '') throw HttpError.invalidBody("1 validation error: {'type': 'missing', 'loc': ('body',), 'msg': 'Field required'}");
    try {
      return JSON.parse(text);
    } catch (error) {
      throw HttpError.invalidBody(
        `1 validation error: {'type': 'json_invalid', 'loc': ('body',), 'msg': 'JSON decode error: ${String(error)}'}`,
      );
    }
  }

  async #text(): Promise<string> {
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      for await (const chunk of this.#request as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > maxBodyBytes) throw HttpError.framework(413, `The body is larger than ${maxBodyBytes} bytes`);
        chunks.push(chunk);
      }
    } catch (error) {
      // the client left while it spoke; nobody will read this answer
      throw error instanceof HttpError ? error : HttpError.invalidBody('The body ended too soon');
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  sendJson(body: unknown, status = 200): void {
    this.#send(status, JSON.stringify(body), 'application/json');
  }

  sendText(text: string, status = 200, contentType?: string): void {
    this.#send(status, text, contentType);
  }

  #send(status: number, text: string, contentType: string | undefined): void {
    send(this.#response, status, text, contentType);
  }

  /** Begins a stream of server-sent events. */
  events(): EventStream {
    this.#response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    return new EventStream(this.#response);
  }
}

/** Server-sent events that carry JSON, closed by `[DONE]`. */
export class EventStream {
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  /** Whether the client reads too slowly: what can be left out should be. */
  get congested(): boolean {
    return this.#response.writableNeedDrain;
  }

  send(event: unknown): void {
    if (!this.#response.destroyed) this.#response.write(`data: ${JSON.stringify(event)}\n\n`);
  }

  end(): void {
    if (!this.#response.destroyed) this.#response.end('data: [DONE]\n\n');
  }
}
