import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';

/** An HTTP server that listens. */
export class Listening {
  readonly #server: Server;
  readonly url: string;

  private constructor(server: Server, url: string) {
    this.#server = server;
    this.url = url;
  }

  /** @param port 0 takes a free one @throws Error when the address is taken */
  static async on(handler: RequestListener, host: string, port: number): Promise<Listening> {
    const server = createServer({ keepAliveTimeout: 65_000 }, handler);
    server.listen(port, host);
    await once(server, 'listening');
    const address = server.address();
    if (typeof address !== 'object' || address === null) throw new Error('the server has no address');
    const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
    return new Listening(server, `http://${name}:${address.port}`);
  }

  /** Takes no more connections; resolves when all requests are answered, or cuts them after `timeoutMs`. @returns whether none was cut */
  async close(timeoutMs: number): Promise<boolean> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    // A kept-alive connection would otherwise hold the server open after its last answer.
    const idle = setInterval(() => this.#server.closeIdleConnections(), 50);
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
