import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { Socket } from 'node:net';

/** An HTTP server that listens. */
export class Listening {
  readonly #server: Server;
  /** Requests in progress on every open connection; 0 before its first and between two. */
  readonly #connections: ReadonlyMap<Socket, number>;
  readonly url: string;

  private constructor(server: Server, connections: ReadonlyMap<Socket, number>, url: string) {
    this.#server = server;
    this.#connections = connections;
    this.url = url;
  }

  /** @param port 0 takes a free one @throws Error when the address is taken */
  static async on(handler: RequestListener, host: string, port: number): Promise<Listening> {
    const server = createServer({ keepAliveTimeout: 65_000 }, handler);
    const connections = countRequests(server);
    server.listen(port, host);
    await once(server, 'listening');
    const address = server.address();
    if (typeof address !== 'object' || address === null) throw new Error('the server has no address');
    const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
    return new Listening(server, connections, `http://${name}:${address.port}`);
  }

  /** Takes no more connections; resolves when all requests are answered, or cuts them after `timeoutMs`. @returns whether none was cut */
  async close(timeoutMs: number): Promise<boolean> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    // A connection kept alive after its last answer, or one that never asked anything (which Node does not call idle), would otherwise
    // hold the server open.
    const idle = setInterval(() => {
      for (const [socket, requests] of this.#connections) if (requests === 0) socket.destroy();
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

/** Keeps count of the requests in progress on each connection of a server that does not listen yet. */
function countRequests(server: Server): ReadonlyMap<Socket, number> {
  const connections = new Map<Socket, number>();
  server.on('connection', (socket: Socket) => {
    connections.set(socket, 0);
    socket.once('close', () => connections.delete(socket));
  });
  server.on('request', ({ socket }, response) => {
    const add = (more: number): void => {
      const requests = connections.get(socket);
      if (requests !== undefined) connections.set(socket, requests + more);
    };
    add(1);
    response.once('close', () => add(-1));
  });
  return connections;
}
