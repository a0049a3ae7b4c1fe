import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { App } from 'cdk8s';
import { request } from 'undici';
import { Installation } from '../../install/installation.ts';
import { KubeClient, namespaces, nodes, resourcePath, resourceType, serviceAccountFolder } from '../../src/kube/index.ts';
import type { Manifest } from '../../src/kube/index.ts';
import { until, type Progress } from '../../test/cluster/progress.ts';
import { SimulatedCluster } from '../../test/simulated/cluster.ts';
import { fakeNode } from '../../test/simulated/stages.ts';
import { inParallel } from './parallel.ts';
import { configDigest, render } from './workload.ts';

const root = join(import.meta.dirname, '../..');
/** Of the operator, by which it is known in the audit log. */
export const operatorUser = 'system:serviceaccount:r2r-system:r2r-operator';
export const peerUser = 'peer';
const metricsPort = 18_080;

/** The cluster that the benchmark plays on, with what is installed before anything is measured. */
export class Stage {
  readonly cluster: SimulatedCluster;
  /** The admin. */
  readonly admin: KubeClient;
  readonly operatorToken: string;
  readonly #children: ChildProcess[] = [];
  dataPlane: ChildProcess | undefined;

  private constructor(cluster: SimulatedCluster, admin: KubeClient, operatorToken: string) {
    this.cluster = cluster;
    this.admin = admin;
    this.operatorToken = operatorToken;
  }

  /** @param nodeCount - of kwok */
  static async set(nodeCount: number, progress: Progress): Promise<Stage> {
    const cluster = await SimulatedCluster.start({ withNodes: true, audited: [operatorUser, peerUser], users: [peerUser], progress });
    progress('control plane ready');
    const admin = KubeClient.fromConfig(cluster.kubeConfig(), { fieldManager: 'bench' });
    const account = await install(admin);
    const stage = new Stage(cluster, admin, account);
    stage.#children.push((stage.dataPlane = await startDataPlane()));
    await inParallel(8, nodeCount, (index) => admin.create(nodes, fakeNode(`node-${index}`) as Manifest).then(() => undefined));
    await until(`${nodeCount} nodes are Ready`, 120_000, async () => {
      const { items } = await admin.list(nodes);
      return items.every(({ status }) => status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'));
    });
    progress(`${nodeCount} nodes Ready`);
    return stage;
  }

  /** The operator as its image runs it, with the rights that its installation gives it. @param compiled - dist/ instead of src/ */
  async startOperator(compiled: boolean): Promise<Operator> {
    this.cluster.mountServiceAccount(serviceAccountFolder, this.operatorToken);
    const program = compiled ? join(root, 'dist/cli/main.js') : join(root, 'src/cli/main.ts');
    const log = openSync(join(this.cluster.folder, 'operator.log'), 'a');
    const flags = ['--namespace', 'r2r-system', '--router-image', render.routerImage, '--metrics-port', String(metricsPort)];
    const image = imageSettings();
    const command = [process.execPath, ...image.nodeFlags, program, 'operator', ...flags, '--health-port', '0'];
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...command], {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...this.cluster.podEnvironment, ...image.env, POD_NAME: 'bench' },
    });
    closeSync(log);
    this.#children.push(child);
    const operator = new Operator(child);
    await until('the operator leads', 60_000, async () => {
      if (child.exitCode !== null) throw new Error(readFileSync(join(this.cluster.folder, 'operator.log'), 'utf8').slice(-2000));
      return (await operator.metric('leader_election_master_status')) === 1;
    });
    return operator;
  }

  async makeNamespaces(names: readonly string[]): Promise<void> {
    await inParallel(8, names.length, async (index) => {
      const name = names[index] ?? '';
      await this.admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    });
    // pods are refused until the controller has made the accounts that they run as
    await until('default accounts exist', 60_000, async () => {
      const accounts = await Promise.all(names.map((namespace) => this.admin.find(serviceAccountType, { namespace, name: 'default' })));
      return accounts.every((account) => account !== undefined);
    });
  }

  async end(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    await this.admin.close();
    await this.cluster[Symbol.asyncDispose]();
  }
}

const serviceAccountType = resourceType({ group: '', version: 'v1', plural: 'serviceaccounts', kind: 'ServiceAccount', namespaced: true });

/** A running operator. */
export class Operator {
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The sum of a metric's series. @param labels - text that a series' labels must hold */
  async metric(name: string, labels = ''): Promise<number> {
    const { body } = await request(`http://127.0.0.1:${metricsPort}/metrics`);
    const lines = (await body.text()).split('\n');
    return lines
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      .filter((line) => line.includes(labels))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  /** As the kubelet does: it releases its lease. */
  async stop(): Promise<void> {
    if (this.ended) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await gone;
  }
}

/** Applies CRDs and access rights of the installation, without the operator's own pods. Resolves to a token of its account. */
async function install(admin: KubeClient): Promise<string> {
  const images = { operatorImage: 'none', routerImage: 'none', trainerImage: 'none' };
  const objects = new Installation(new App(), 'install', { ...images, version: '0.0.0' }).toJson() as Manifest[];
  for (const object of objects.filter(({ kind }) => kind !== 'Deployment' && kind !== 'PodDisruptionBudget')) {
    const [group = '', version = ''] = object.apiVersion.includes('/') ? object.apiVersion.split('/') : ['', object.apiVersion];
    const namespaced = object.metadata.namespace !== undefined;
    const plural = `${object.kind.toLowerCase()}s`;
    await admin.apply(resourceType({ group, version, plural, kind: object.kind, namespaced }), object);
  }
  const token = resourcePath(serviceAccountType, { namespace: 'r2r-system', name: 'r2r-operator', subresource: 'token' });
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 86_400 } };
  const answer = JSON.parse(await admin.raw({ method: 'POST', path: token, body })) as { status: { token: string } };
  await until('the new kinds are served', 60_000, async () => {
    await admin.raw({ path: '/apis/r2r.dev/v1alpha1/r2rdeployments' });
    await admin.raw({ path: '/apis/r2r.dev/v1alpha1/r2rrouters' });
    return true;
  });
  return answer.status.token;
}

async function startDataPlane(): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, 'data-plane.ts'), [configDigest()], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  if (!child.stdout) throw new TypeError('a piped standard output');
  await once(child.stdout, 'data');
  return child;
}

/** What the image gives to Node: its environment, and flags before the program. */
function imageSettings(): { readonly nodeFlags: readonly string[]; readonly env: NodeJS.ProcessEnv } {
  const dockerfile = readFileSync(join(root, 'images/operator/Dockerfile'), 'utf8');
  const entry = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile)?.[1];
  if (entry === undefined) throw new Error('images/operator/Dockerfile has no ENTRYPOINT in JSON');
  const nodeFlags = (JSON.parse(entry) as string[]).filter((word) => word.startsWith('--'));
  const variables = (/^ENV (.*)$/m.exec(dockerfile)?.[1] ?? '').split(' ').filter((word) => word.includes('='));
  // the first = only: GLIBC_TUNABLES has more of them
  return {
    nodeFlags,
    env: Object.fromEntries(variables.map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)])),
  };
}
