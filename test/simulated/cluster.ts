/**
 * A control plane of its own for one test or benchmark: etcd and kube-apiserver, with controller-manager, scheduler and kwok's nodes where
 * they are asked for. Everything listens on loopback, lies in one folder and dies with this process. Unlike the shared one of
 * test/cluster/control-plane.ts its parts can be killed and started again, and what users ask of it is in an audit log.
 */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { closeSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { Agent, request } from 'undici';
import { stringify } from 'yaml';
import { freePorts } from '../cluster/free-ports.ts';
import { goProgramPaths } from '../cluster/go-programs.ts';
import { stderrProgress, until, type Progress } from '../cluster/progress.ts';
import { controlPlaneTools } from '../cluster/tools.ts';
import { goTool, kwok } from './go-tool.ts';
import * as programs from './programs.ts';
import { podStages } from './stages.ts';

export interface SimulatedClusterOptions {
  /** Controller-manager, scheduler and kwok as well. @default false */
  readonly withNodes?: boolean;
  /** User names whose requests are in the audit log, one line each. @default none */
  readonly audited?: readonly string[];
  /** Users besides the admin, who may do nothing until they are bound to a role. Their tokens are in `tokens`. @default none */
  readonly users?: readonly string[];
  readonly progress?: Progress;
}

type Name = 'etcd' | 'kube-apiserver' | 'kube-controller-manager' | 'kube-scheduler' | 'kwok';

const readyWithinMs = 120_000;

export class SimulatedCluster implements AsyncDisposable {
  readonly folder: string;
  readonly server: string;
  readonly adminToken = randomToken();
  /** Bearer tokens of `users`. */
  readonly tokens: ReadonlyMap<string, string>;
  readonly #commands: Readonly<Record<Name, readonly [string, ...string[]]>>;
  readonly #ports: programs.Ports;
  readonly #running = new Map<Name, ChildProcess>();

  private constructor(
    folder: string,
    ports: programs.Ports,
    commands: Readonly<Record<Name, readonly [string, ...string[]]>>,
    users: readonly string[],
  ) {
    this.folder = folder;
    this.server = `https://127.0.0.1:${ports.apiServer}`;
    this.#ports = ports;
    this.#commands = commands;
    this.tokens = new Map(users.map((user) => [user, randomToken()]));
  }

  static async start(options: SimulatedClusterOptions = {}): Promise<SimulatedCluster> {
    const { withNodes = false, audited = [], users = [], progress = stderrProgress() } = options;
    const tools = await controlPlaneTools(progress);
    const more = withNodes ? await goProgramPaths(['kube-controller-manager', 'kube-scheduler'], progress) : undefined;
    const kwokPath = withNodes ? await goTool(kwok, progress) : '';
    const folder = mkdtempSync(join(tmpdir(), 'r2r-simulated-'));
    const [etcd = 0, etcdPeer = 0, apiServer = 0] = await freePorts(3);
    const ports = { etcd, etcdPeer, apiServer };
    const cluster = new SimulatedCluster(
      folder,
      ports,
      {
        etcd: [tools.etcd, ...programs.etcd(folder, ports)],
        'kube-apiserver': [tools.kubeApiserver, ...programs.apiServer(folder, ports, withNodes)],
        'kube-controller-manager': [more?.['kube-controller-manager'] ?? '', ...programs.controllerManager(folder)],
        'kube-scheduler': [more?.['kube-scheduler'] ?? '', ...programs.scheduler(folder)],
        kwok: [kwokPath, ...programs.kwok(folder)],
      },
      users,
    );
    process.once('exit', () => cluster.#killAll());
    try {
      cluster.#writeFiles(audited);
      cluster.#spawn('etcd');
      await cluster.startApiServer();
      if (withNodes) for (const name of ['kube-controller-manager', 'kube-scheduler', 'kwok'] as const) cluster.#spawn(name);
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** For clients, kubectl and the operator: the admin's, or that of whoever the token belongs to. */
  kubeConfig(token = this.adminToken, server = this.server): KubeConfig {
    const config = new KubeConfig();
    const caFile = this.#file(programs.files.authority);
    config.loadFromClusterAndUser({ name: 'test', server, caFile, skipTLSVerify: false }, { name: 'test', token });
    return config;
  }

  /** The same in a file. @param name - of the file */
  kubeconfigFile(name: string, token = this.adminToken, server = this.server): string {
    const file = this.#file(name);
    writeFileSync(file, this.kubeConfig(token, server).exportConfig(), { mode: 0o600 });
    return file;
  }

  /** What the kubelet mounts into a pod that runs as the token's account. */
  mountServiceAccount(folder: string, token: string): void {
    mkdirSync(folder, { recursive: true });
    copyFileSync(this.#file(programs.files.authority), join(folder, 'ca.crt'));
    writeFileSync(join(folder, 'token'), token, { mode: 0o600 });
  }

  /** What the kubelet tells a pod of the API server, and no kubeconfig. */
  get podEnvironment(): NodeJS.ProcessEnv {
    const { hostname, port } = new URL(this.server);
    return { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port, KUBECONFIG: undefined, HOME: '/' };
  }

  /** Process numbers of what runs. */
  get processes(): ReadonlyMap<string, number> {
    return new Map([...this.#running].flatMap(([name, { pid }]) => (pid === undefined ? [] : [[name, pid] as const])));
  }

  /** SIGKILL: what a machine that fails does. Resolves when it is gone. */
  async kill(name: Name): Promise<void> {
    const child = this.#running.get(name);
    this.#running.delete(name);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    // else nothing might keep this process alive until then
    child.ref();
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** On the same port, with the same data. Resolves when it is ready. */
  async startApiServer(): Promise<void> {
    this.#spawn('kube-apiserver');
    await this.#ready();
  }

  /** Forgets the past of etcd up to now: a watch from a version before answers 410 from the API server's next start on, and it has no cache of events. */
  async compact(): Promise<void> {
    const post = async (path: string, body: object): Promise<unknown> => {
      const answer = await request(`http://127.0.0.1:${this.#ports.etcd}/v3/${path}`, { method: 'POST', body: JSON.stringify(body) });
      const text = await answer.body.text();
      if (answer.statusCode !== 200) throw new Error(`etcd ${path}: ${answer.statusCode} ${text}`);
      return JSON.parse(text);
    };
    const { header } = (await post('kv/range', { key: Buffer.from('/').toString('base64'), count_only: true })) as {
      header: { revision: string };
    };
    await post('kv/compaction', { revision: header.revision, physical: true });
  }

  /** Lines of the audit log so far. */
  auditLog(): readonly AuditLine[] {
    const file = this.#file(programs.files.auditLog);
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, 'utf8').split('\n');
    // the last line may be half written
    return lines.slice(0, -1).map((line) => JSON.parse(line) as AuditLine);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.keys()].map((name) => this.kill(name)));
    this.#killAll();
  }

  #file(name: string): string {
    return join(this.folder, name);
  }

  #writeFiles(audited: readonly string[]): void {
    const { files } = programs;
    const users = [...this.tokens].map(([user, token]) => `${token},${user},${user}\n`);
    writeFileSync(this.#file(files.tokens), `${this.adminToken},admin,admin,"system:masters"\n${users.join('')}`, { mode: 0o600 });
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(this.#file(files.accountKey), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    writeFileSync(this.#file(files.auditPolicy), JSON.stringify(programs.auditPolicy(audited)));
    writeFileSync(this.#file(files.stages), podStages.map((stage) => stringify(stage)).join('---\n'));
  }

  #spawn(name: Name): void {
    if (name === 'kube-controller-manager') this.kubeconfigFile(programs.files.kubeconfig);
    const [command, ...args] = this.#commands[name];
    const log = openSync(this.#file(`${name}.log`), 'a');
    const stdio: StdioOptions = ['ignore', log, log];
    // the kernel kills it with us, also when we are killed and no handler of ours runs
    const child = spawn('/usr/bin/setpriv', ['--pdeathsig', 'KILL', '--', command, ...args], { stdio });
    closeSync(log);
    child.unref();
    this.#running.set(name, child);
  }

  async #ready(): Promise<void> {
    const authority = this.#file(programs.files.authority);
    let dispatcher: Agent | undefined;
    const ended = (): string | undefined =>
      [...this.#running].find(([, { exitCode, signalCode }]) => exitCode !== null || signalCode !== null)?.[0];
    try {
      await until(
        'the API server becomes ready',
        readyWithinMs,
        async () => {
          if (ended() !== undefined) return true;
          if (!existsSync(authority)) return false;
          dispatcher ??= new Agent({ connect: { ca: readFileSync(authority) } });
          const answer = await request(`${this.server}/readyz`, { dispatcher, headers: { authorization: `Bearer ${this.adminToken}` } });
          await answer.body.dump();
          return answer.statusCode === 200;
        },
        100,
      );
      const gone = ended();
      if (gone !== undefined) throw new Error(`${gone} ended:\n${readFileSync(this.#file(`${gone}.log`), 'utf8').slice(-2000)}`);
    } finally {
      await dispatcher?.destroy();
    }
  }

  #killAll(): void {
    for (const child of this.#running.values()) child.kill('SIGKILL');
    this.#running.clear();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}

export interface AuditLine {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly apiGroup?: string;
  };
  readonly responseStatus?: { readonly code?: number };
  readonly requestReceivedTimestamp: string;
  readonly requestURI: string;
}

function randomToken(): string {
  return randomBytes(24).toString('hex');
}
