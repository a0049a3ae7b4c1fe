/** A local HTTP server that plays an API server as a test tells it to: real sockets, real faults. */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { KubeConfig, type User } from '@kubernetes/client-node';
import { KubeClient, pods, type ClientOptions, type Live, type Pod } from '../../src/kube/index.ts';

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export type Answer = (request: Received, response: ServerResponse) => void;

export class FakeApiServer implements AsyncDisposable {
  readonly requests: Received[] = [];
  /** Connections ever accepted. */
  connections = 0;
  answer: Answer;
  #port = 0;
  #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(answer: Answer) {
    this.answer = answer;
    this.#server = this.#create();
  }

  static async start(answer: Answer): Promise<FakeApiServer> {
    const server = new FakeApiServer(answer);
    await server.up();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** The first time on any free port, after `down` on the same one. */
  async up(): Promise<void> {
    this.#server = this.#create();
    await new Promise<void>((resolve, reject) => this.#server.once('error', reject).listen(this.#port, '127.0.0.1', resolve));
    const address = this.#server.address();
    if (typeof address === 'object' && address) this.#port = address.port;
  }

  /** Connections are reset and new ones refused. */
  async down(): Promise<void> {
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }

  config(user: Omit<User, 'name'> = {}): KubeConfig {
    const config = new KubeConfig();
    config.loadFromClusterAndUser({ name: 'fake', server: this.url, skipTLSVerify: false }, { name: 'same-name', ...user });
    return config;
  }

  client(options: Partial<ClientOptions> = {}): KubeClient {
    return KubeClient.fromConfig(this.config(), { fieldManager: 'test', ...options });
  }

  #create(): Server {
    const server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      request.on('end', () => {
        const url = new URL(request.url ?? '/', this.url);
        const { method = '', headers } = request;
        const received = { method, headers, body, path: url.pathname, query: url.searchParams };
        this.requests.push(received);
        this.answer(received, response);
      });
    });
    // a test that ends with an idle client must not wait for it
    server.keepAliveTimeout = 60_000;
    return server.on('connection', (socket) => {
      this.connections += 1;
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket)).on('error', () => undefined);
    });
  }
}

export function json(response: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

export function status(code: number, reason: string, message = reason): object {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message };
}

/** A pod as the server writes it on a watch; a list has it without apiVersion and kind. */
export function pod(name: string, version: number, uid = `uid-${name}`, more: object = {}): Live<Pod> {
  const metadata = { name, namespace: 'a', uid, resourceVersion: String(version), creationTimestamp: '2026-01-02T03:04:05Z', ...more };
  return { apiVersion: 'v1', kind: 'Pod', metadata };
}

/** One kind of object behind a fake server: a list, open watches, and faults for either. */
export class FakePods {
  objects: Live<Pod>[] = [];
  version = 1;
  /** Open watches, oldest first. */
  readonly watches: ServerResponse[] = [];
  readonly lists: Received[] = [];
  readonly watchRequests: Received[] = [];
  /** Asked before the usual answer; true: it has answered. */
  fault: (request: Received, response: ServerResponse, kind: 'list' | 'watch') => boolean = () => false;

  readonly answer: Answer = (request, response) => {
    const kind = request.query.get('watch') === 'true' ? 'watch' : 'list';
    (kind === 'watch' ? this.watchRequests : this.lists).push(request);
    if (this.fault(request, response, kind)) return;
    if (kind === 'list') {
      const items = this.objects.map(({ apiVersion: _version, kind: _kind, ...item }) => item);
      json(response, { kind: 'PodList', apiVersion: 'v1', metadata: { resourceVersion: String(this.version) }, items });
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    this.watches.push(response);
    response.on('close', () => this.watches.splice(this.watches.indexOf(response), 1));
  };

  /** Puts the object into the list and tells the open watches. */
  tell(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: Live<Pod>): void {
    this.version = Number(object.metadata.resourceVersion);
    this.objects = this.objects.filter(({ metadata }) => metadata.name !== object.metadata.name);
    if (type !== 'DELETED') this.objects.push(object);
    this.send({ type, object });
  }

  send(event: object): void {
    for (const watch of this.watches) watch.write(`${JSON.stringify(event)}\n`);
  }
}

export { pods };
