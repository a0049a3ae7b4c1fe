import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { createServer, connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../cluster/commands.ts';
import { s3ServerProgram } from './server-program.ts';

const loopback = '127.0.0.1';

export interface S3ServerOptions {
  /** Everything that it writes. */
  readonly folder: string;
  readonly bucket: string;
  /** PEM files; with them it speaks https. */
  readonly tls?: { readonly certPath: string; readonly keyPath: string };
  /** Of an interface of this machine. @default 127.0.0.1 */
  readonly address?: string;
}

/** versitygw on a port of this machine over a folder, to be started, killed and started again. */
export class S3Server {
  static readonly accessKeyId = 'R2RTESTKEYID';
  static readonly secretAccessKey = 'r2r-test-secret-0123456789';
  readonly port: number;
  /** Objects lie here as files, `<bucket>/<key>`. */
  readonly data: string;
  /** As a mounted Secret. */
  readonly credentialsFolder: string;
  readonly #options: S3ServerOptions;
  readonly #program: string;
  #child: ChildProcess | undefined;

  private constructor(options: S3ServerOptions, program: string, port: number) {
    this.#options = options;
    this.#program = program;
    this.port = port;
    this.data = join(options.folder, 'data');
    this.credentialsFolder = join(options.folder, 'credentials');
  }

  static async start(options: S3ServerOptions): Promise<S3Server> {
    const program = await s3ServerProgram((line) => {
      console.log(`    ${line}`);
    });
    const server = new S3Server(options, program, await freePort(options.address ?? loopback));
    mkdirSync(join(server.data, options.bucket), { recursive: true });
    mkdirSync(server.credentialsFolder, { recursive: true });
    writeFileSync(join(server.credentialsFolder, 'access-key-id'), `${S3Server.accessKeyId}\n`);
    writeFileSync(join(server.credentialsFolder, 'secret-access-key'), `${S3Server.secretAccessKey}\n`);
    await server.startAgain();
    return server;
  }

  get endpoint(): string {
    return `${this.#options.tls ? 'https' : 'http'}://${this.#address}:${this.port}`;
  }

  get #address(): string {
    return this.#options.address ?? loopback;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async startAgain(): Promise<void> {
    const { tls, folder } = this.#options;
    const iam = join(folder, 'iam');
    const sidecar = join(folder, 'metadata');
    for (const path of [iam, sidecar]) mkdirSync(path, { recursive: true });
    const args = ['--port', `${this.#address}:${this.port}`, '--quiet', '--keep-alive', '--iam-dir', iam];
    if (tls) args.push('--cert', tls.certPath, '--key', tls.keyPath);
    const child = spawn(this.#program, [...args, 'posix', '--sidecar', sidecar, this.data], {
      env: { ROOT_ACCESS_KEY: S3Server.accessKeyId, ROOT_SECRET_KEY: S3Server.secretAccessKey },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-2000)));
    this.#child = child;
    for (const end = Date.now() + 15_000; !(await answers(this.port, this.#address));) {
      await sleep(20);
      if (child.exitCode !== null || Date.now() > end) throw new Error(`versitygw did not start: ${output}`);
    }
  }

  /** An account that may do nothing with the buckets. */
  async addUser(accessKeyId: string, secretAccessKey: string): Promise<void> {
    const env = { ADMIN_ACCESS_KEY: S3Server.accessKeyId, ADMIN_SECRET_KEY: S3Server.secretAccessKey };
    const user = ['--access', accessKeyId, '--secret', secretAccessKey, '--role', 'user'];
    await run(this.#program, ['admin', '--endpoint-url', this.endpoint, 'create-user', ...user], { env });
  }

  /** Multipart uploads that were neither completed nor aborted. */
  async unfinishedUploads(): Promise<readonly string[]> {
    const found = await readdir(join(this.data, this.#options.bucket), { recursive: true, withFileTypes: true });
    return found.filter((entry) => entry.isFile() && entry.parentPath.includes('.sgwtmp')).map(({ name }) => name);
  }

  /** As a lost node does: nothing is said, nothing is flushed. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
}

async function freePort(address: string): Promise<number> {
  const probe = createServer().listen(0, address);
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

function answers(port: number, address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, address);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
