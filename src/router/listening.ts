import { once } from 'node:events';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { ApiError } from './errors.ts';

export interface ListeningOptions {
  /** PEM; without them the server speaks plain HTTP. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** How long a client may take to send its headers. @default 20_000 */
  readonly headersTimeoutMs?: number;
  /** How long a client may take to send a whole request. @default 120_000 */
  readonly requestTimeoutMs?: number;
}

/** An HTTP server that listens. */
export class Listening {
  readonly #server: Server | TlsServer;
  /** Requests in progress on every open connection; none before its first and between two. */
  readonly #connections: ReadonlyMap<Socket, ReadonlySet<ServerResponse>>;
  readonly url: string;

  private constructor(server: Server | TlsServer, connections: ReadonlyMap<Socket, ReadonlySet<ServerResponse>>, url: string) {
    this.#server = server;
    this.#connections = connections;
    this.url = url;
  }

  /** @param port 0 takes a free one @throws Error when the address is taken */
  static async on(handler: RequestListener, host: string, port: number, options: ListeningOptions = {}): Promise<Listening> {
    const { tls, headersTimeoutMs = 20_000, requestTimeoutMs = 120_000 } = options;
    const times = {
      keepAliveTimeout: 65_000,
      headersTimeout: Math.min(headersTimeoutMs, requestTimeoutMs),
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.min(1_000, headersTimeoutMs / 4),
    };
    const server = tls
      ? createTlsServer({ ...times, ...tls, minVersion: 'TLSv1.2', handshakeTimeout: headersTimeoutMs }, handler)
      : createServer(times, handler);
    const connections = trackRequests(server);
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => answerClientError(error, socket, connections.get(socket)));
    server.listen(port, host);
    await once(server, 'listening');
    const address = server.address();
    if (typeof address !== 'object' || address === null) throw new Error('the server has no address');
    const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
    return new Listening(server, connections, `${tls ? 'https' : 'http'}://${name}:${address.port}`);
  }

  /** New connections get another certificate; those that are open keep theirs. */
  renew(pair: { readonly cert: string; readonly key: string }): void {
    if ('setSecureContext' in this.#server) this.#server.setSecureContext({ ...pair, minVersion: 'TLSv1.2' });
  }

  /** Takes no more connections; resolves when all requests are answered, or cuts them after `timeoutMs`. @returns whether none was cut */
  async close(timeoutMs: number): Promise<boolean> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    // A connection kept alive after its last answer, or one that never asked anything (which Node does not call idle), would otherwise
    // hold the server open.
    const idle = setInterval(() => {
      for (const [socket, requests] of this.#connections) if (requests.size === 0) socket.destroy();
    }, 50);
    let cut = false;
    const timer = setTimeout(() => {
      cut = true;
      this.#server.closeAllConnections();
    }, timeoutMs);
    await closed;
    clearTimeout(timer);
    clearInterval(idle);
    return !cut;
  }
}

/** Keeps track of the requests in progress on each connection of a server that does not listen yet. */
function trackRequests(server: Server | TlsServer): ReadonlyMap<Socket, ReadonlySet<ServerResponse>> {
  const connections = new Map<Socket, Set<ServerResponse>>();
  server.on('setSecureContext' in server ? 'secureConnection' : 'connection', (socket: Socket) => {
    connections.set(socket, new Set());
    socket.once('close', () => connections.delete(socket));
  });
  server.on('request', ({ socket }, response) => {
    const requests = connections.get(socket);
    requests?.add(response);
    response.once('close', () => requests?.delete(response));
  });
  return connections;
}

/** Answers what Node could not make a request of: too slow, too large, or not HTTP. An answer under way is cut instead. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket, requests: ReadonlySet<ServerResponse> | undefined): void {
  const answering = [...(requests ?? [])].some(({ headersSent }) => headersSent);
  if (!socket.writable || answering || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const failure =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? new ApiError('request_timeout', 'the request did not arrive in time; send it faster', { cause: error })
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? new ApiError('headers_too_large', "the request's headers are too large; shorten them", { cause: error })
        : new ApiError('invalid_http', 'this is not an HTTP/1.1 request', { cause: error });
  const body = JSON.stringify(failure.toBody());
  const head = [
    `HTTP/1.1 ${failure.status} ${failure.code}`,
    'connection: close',
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
