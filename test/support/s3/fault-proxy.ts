import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What happens to one connection. */
export interface Fault {
  /** Resets it after so many bytes of requests have gone through. */
  readonly cutAfterSent?: number;
  /** Resets it after so many bytes of answers have gone through. */
  readonly cutAfterReceived?: number;
  /** Answers the first request with this, whole, and ends it. */
  readonly answer?: string;
  /** Waits before each piece of an answer. */
  readonly delayMs?: number;
  /** Accepts it and says nothing more. */
  readonly silent?: boolean;
}

/** A TCP proxy before a server, which breaks connections as a test says. */
export class FaultProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Of the nth connection (from 0); undefined: it works. */
  fault: (connection: number) => Fault | undefined = () => undefined;
  connections = 0;
  /** Bytes of requests that went through. */
  sent = 0;
  /** Bytes of answers that went through. */
  received = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(targetPort: number): Promise<FaultProxy> {
    const server = createServer();
    const proxy = new FaultProxy(server);
    server.on('connection', (socket) => proxy.#serve(socket, targetPort));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  reset(): void {
    this.fault = () => undefined;
    this.connections = 0;
    this.sent = 0;
    this.received = 0;
    // a connection that is kept alive keeps its fault
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.reset();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #serve(client: Socket, targetPort: number): void {
    const fault = this.fault(this.connections++) ?? {};
    const server = connect(targetPort, '127.0.0.1');
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => this.#sockets.delete(socket));
    }
    const cut = (): void => {
      client.resetAndDestroy();
      server.destroy();
    };
    client.once('close', () => server.destroy());
    server.once('close', () => client.destroySoon());
    let sent = 0;
    client.on('data', (chunk: Buffer) => {
      if (fault.silent === true) return;
      if (fault.answer !== undefined) {
        client.end(fault.answer);
        return;
      }
      sent += chunk.length;
      if (sent > (fault.cutAfterSent ?? Infinity)) {
        cut();
        return;
      }
      this.sent += chunk.length;
      if (!server.write(chunk)) {
        client.pause();
        server.once('drain', () => client.resume());
      }
    });
    let received = 0;
    server.on('data', (chunk: Buffer) => {
      const room = Math.max(0, (fault.cutAfterReceived ?? Infinity) - received);
      const passed = chunk.subarray(0, Math.min(room, chunk.length));
      received += passed.length;
      this.received += passed.length;
      server.pause();
      void (async () => {
        if (fault.delayMs !== undefined) await sleep(fault.delayMs);
        if (passed.length > 0) await new Promise((resolve) => client.write(passed, resolve));
        if (passed.length < chunk.length) cut();
        else server.resume();
      })();
    });
  }
}

/** An answer of a server of S3 that refuses. */
export function s3Answer(status: number, code: string, headers = ''): string {
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>no</Message><RequestId>r1</RequestId></Error>`;
  return `HTTP/1.1 ${status} No\r\ncontent-type: application/xml\r\ncontent-length: ${body.length}\r\nconnection: close\r\n${headers}\r\n${body}`;
}
