import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A TCP connection's two ends. */
interface Pipe {
  readonly near: Socket;
  readonly far: Socket;
}

/** What stands for the network between a router and a server: passes bytes on until it is told to fail. */
export class NetworkLink implements AsyncDisposable {
  readonly url: string;
  readonly #server: Server;
  readonly #target: URL;
  readonly #pipes = new Set<Pipe>();
  #state: 'open' | 'cut' | 'stalled' = 'open';
  /** Bytes that it has taken from the router's side. */
  bytes = 0;

  static async to(target: string): Promise<NetworkLink> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new NetworkLink(server, new URL(target));
  }

  private constructor(server: Server, target: URL) {
    this.#server = server;
    this.#target = target;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (near) => this.#join(near));
  }

  /** Breaks every connection, and each new one, until {@link open}. */
  cut(): void {
    this.#state = 'cut';
    for (const { near, far } of this.#pipes) {
      near.resetAndDestroy();
      far.destroy();
    }
  }

  /** Lets no byte through, in either direction, until {@link open}. New connections are taken. */
  stall(): void {
    this.#state = 'stalled';
    for (const pipe of this.#pipes) unjoin(pipe);
  }

  open(): void {
    const stalled = this.#state === 'stalled';
    this.#state = 'open';
    if (stalled) for (const pipe of this.#pipes) join(pipe);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(near: Socket): void {
    if (this.#state === 'cut') {
      near.resetAndDestroy();
      return;
    }
    const far = connect(Number(this.#target.port), this.#target.hostname);
    const pipe = { near, far };
    this.#pipes.add(pipe);
    near.on('data', ({ byteLength }) => (this.bytes += byteLength));
    near.pause();
    for (const [end, other] of [
      [near, far],
      [far, near],
    ] as const) {
      end.on('error', () => other.destroy());
      end.on('close', () => {
        other.destroy();
        this.#pipes.delete(pipe);
      });
    }
    if (this.#state === 'open') join(pipe);
  }
}

function join({ near, far }: Pipe): void {
  near.pipe(far);
  far.pipe(near);
}

function unjoin({ near, far }: Pipe): void {
  near.unpipe(far).pause();
  far.unpipe(near).pause();
}
