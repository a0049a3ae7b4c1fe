/** A real API server for tests: etcd and kube-apiserver on free loopback ports, one pair per mocha process, started by whoever asks first. */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { Agent, request } from 'undici';
import { freePorts } from './free-ports.ts';
import { until } from './progress.ts';
import { controlPlaneTools } from './tools.ts';

export interface ControlPlane {
  /** `https://127.0.0.1:PORT` */
  readonly server: string;
  readonly caFile: string;
  /** Bearer token of a member of system:masters. */
  readonly adminToken: string;
  /** For kubectl and helm: the admin's. */
  readonly kubeconfigFile: string;
  /** The admin's, or that of whoever the token belongs to (service accounts' tokens come from the TokenRequest API). */
  kubeConfig(token?: string): KubeConfig;
}

/** Slow disks, two busy cores: a cold start takes 3 to 4 s on an idle machine. */
const readyWithinMs = 120_000;

let started: Promise<ControlPlane> | undefined;
const children: ChildProcess[] = [];
let folder: string | undefined;

/**
 * Starts it on the first call; later calls share it. There is no controller-manager: nothing collects garbage or finalises namespaces, and
 * there are no default service accounts. Give every test its own namespace and leave it behind.
 */
export function controlPlane(): Promise<ControlPlane> {
  started ??= start();
  return started;
}

async function start(): Promise<ControlPlane> {
  const tools = await controlPlaneTools();
  folder = mkdtempSync(join(tmpdir(), 'r2r-control-plane-'));
  const file = (name: string): string => join(folder ?? '', name);
  const [client, peer, secure] = await freePorts(3);

  const adminToken = randomBytes(24).toString('hex');
  writeFileSync(file('tokens.csv'), `${adminToken},admin,admin,"system:masters"\n`);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(file('sa.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });

  const etcdUrl = `http://127.0.0.1:${client}`;
  run('etcd', tools.etcd, [
    `--data-dir=${file('etcd')}`,
    `--listen-client-urls=${etcdUrl}`,
    `--advertise-client-urls=${etcdUrl}`,
    `--listen-peer-urls=http://127.0.0.1:${peer}`,
    `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
    `--initial-cluster=default=http://127.0.0.1:${peer}`,
    '--unsafe-no-fsync',
  ]);
  run('kube-apiserver', tools.kubeApiserver, [
    `--etcd-servers=${etcdUrl}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${secure}`,
    `--cert-dir=${file('certificates')}`,
    `--token-auth-file=${file('tokens.csv')}`,
    '--authorization-mode=RBAC',
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${file('sa.key')}`,
    `--service-account-signing-key-file=${file('sa.key')}`,
    '--service-cluster-ip-range=10.0.0.0/16',
    '--endpoint-reconciler-type=none',
    // pods may be created although nothing makes default service accounts
    '--disable-admission-plugins=ServiceAccount',
    '--allow-privileged=true',
  ]);

  const server = `https://127.0.0.1:${secure}`;
  const caFile = file('certificates/apiserver.crt');
  await ready(server, caFile, adminToken);
  const kubeConfig = (token = adminToken): KubeConfig => {
    const config = new KubeConfig();
    config.loadFromClusterAndUser({ name: 'test', server, caFile, skipTLSVerify: false }, { name: 'test', token });
    return config;
  };
  const kubeconfigFile = file('kubeconfig');
  writeFileSync(kubeconfigFile, kubeConfig().exportConfig(), { mode: 0o600 });
  return { server, caFile, adminToken, kubeconfigFile, kubeConfig };
}

function run(name: string, command: string, args: readonly string[]): void {
  const log = openSync(join(folder ?? '', `${name}.log`), 'w');
  // the kernel kills the children with us, even when mocha is killed and no handler of ours runs
  const setpriv = '/usr/bin/setpriv';
  const stdio: StdioOptions = ['ignore', log, log];
  const child = existsSync(setpriv)
    ? spawn(setpriv, ['--pdeathsig', 'KILL', '--', command, ...args], { stdio })
    : spawn(command, args, { stdio });
  closeSync(log);
  // mocha may end while they run; the exit handler stops them
  child.unref();
  children.push(child);
}

async function ready(server: string, caFile: string, token: string): Promise<void> {
  let dispatcher: Agent | undefined;
  const probe = async (): Promise<boolean> => {
    if (children.some(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null)) return true;
    if (!existsSync(caFile)) return false;
    dispatcher ??= new Agent({ connect: { ca: readFileSync(caFile) } });
    const answer = await request(`${server}/readyz`, { dispatcher, headers: { authorization: `Bearer ${token}` } });
    await answer.body.dump();
    return answer.statusCode === 200;
  };
  try {
    await until('the API server becomes ready', readyWithinMs, probe, 100);
    for (const { exitCode, signalCode, spawnargs } of children)
      if (exitCode !== null || signalCode !== null) throw new Error(`${spawnargs.join(' ')} ended (${exitCode ?? signalCode ?? ''})`);
  } catch (error) {
    const tail = (name: string): string => readFileSync(join(folder ?? '', `${name}.log`), 'utf8').slice(-2000);
    throw new Error(`no control plane\n-- etcd --\n${tail('etcd')}\n-- kube-apiserver --\n${tail('kube-apiserver')}`, { cause: error });
  } finally {
    await dispatcher?.destroy();
  }
}

function stop(): void {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  if (folder) rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  folder = undefined;
  started = undefined;
}

// loaded by mocha while it collects tests: a root hook; loaded by anything else, or cut short: the exit handler
if (typeof after === 'function') after('stop the control plane', stop);
process.on('exit', stop);
