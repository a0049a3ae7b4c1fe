/** What tests on the real API server share. */
import { randomBytes } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import { KubeClient, namespaces, type ClientOptions } from '../../src/kube/index.ts';
import { controlPlane } from '../cluster/control-plane.ts';

/** Room for a cold start of the API server on a busy machine. */
export const startMs = 180_000;

export async function adminClient(options: Partial<ClientOptions> = {}): Promise<KubeClient> {
  return KubeClient.fromConfig((await controlPlane()).kubeConfig(), { fieldManager: 'test', ...options });
}

/** A new namespace; it stays (nothing finalises it). */
export async function newNamespace(client: KubeClient): Promise<string> {
  const name = `test-${randomBytes(5).toString('hex')}`;
  await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  return name;
}

/** A network between a client and the API server that counts connections and can be cut. */
export class Wire implements AsyncDisposable {
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cut = false;
  #refuses = false;

  private constructor(port: number) {
    this.#server = createServer((near) => {
      if (this.#refuses) {
        near.on('error', () => undefined).resetAndDestroy();
        return;
      }
      this.connections += 1;
      const far = connect(port, '127.0.0.1');
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(from);
        from.on('data', (data) => this.#cut || to.write(data));
        from
          .on('error', () => undefined)
          .on('close', () => {
            this.#sockets.delete(from);
            to.destroy();
          });
      }
    });
  }

  /** @param port - of the API server; that of the shared control plane by default */
  static async open(port?: number): Promise<Wire> {
    const wire = new Wire(port ?? Number(new URL((await controlPlane()).server).port));
    await new Promise<void>((resolve) => wire.#server.listen(0, '127.0.0.1', resolve));
    return wire;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  /** Nothing gets through any more, and nobody is told: as a failing network does. */
  cut(): void {
    this.#cut = true;
  }

  /** All connections are reset; new ones work. */
  reset(): void {
    this.#cut = false;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** All connections are reset, and new ones too. */
  refuse(): void {
    this.#refuses = true;
    this.reset();
  }

  accept(): void {
    this.#refuses = false;
  }

  async client(options: Partial<ClientOptions> = {}): Promise<KubeClient> {
    const { caFile, adminToken } = await controlPlane();
    const config = new KubeConfig();
    const cluster = { name: 'wire', server: `https://127.0.0.1:${this.port}`, caFile, skipTLSVerify: false };
    config.loadFromClusterAndUser(cluster, { name: 'wire', token: adminToken });
    return KubeClient.fromConfig(config, { fieldManager: 'test', ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
