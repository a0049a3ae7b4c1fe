/** Real operator processes against a control plane of their own, for tests that kill one or the other. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { request } from 'undici';
import { customResourceDefinition } from '../../src/api/crd.ts';
import { routerCustomResourceDefinition } from '../../src/api/r2rrouter-crd.ts';
import { r2rDeployments, r2rRouters } from '../../src/controllers/resource-types.ts';
import { customResourceDefinitions, type KubeClient } from '../../src/kube/index.ts';
import { freePorts } from '../cluster/free-ports.ts';
import { until } from '../cluster/progress.ts';
import type { SimulatedCluster } from '../simulated/cluster.ts';

const program = join(import.meta.dirname, '../../src/cli/main.ts');

export interface OperatorOptions {
  /** A user of the cluster, who becomes its administrator. */
  readonly user: string;
  /** Where it finds the API server. @default the cluster's own address */
  readonly server?: string;
}

/** `r2r operator`, a process of its own. */
export class OperatorProcess {
  readonly #child: ChildProcess;
  readonly #metricsPort: number;
  readonly #logFile: string;

  private constructor(child: ChildProcess, metricsPort: number, logFile: string) {
    this.#child = child;
    this.#metricsPort = metricsPort;
    this.#logFile = logFile;
  }

  static async start(cluster: SimulatedCluster, { user, server }: OperatorOptions): Promise<OperatorProcess> {
    const [port = 0] = await freePorts(1);
    const kubeconfig = cluster.kubeconfigFile(`${user}.kubeconfig`, cluster.tokens.get(user), server);
    const logFile = join(cluster.folder, `${user}.log`);
    const log = openSync(logFile, 'a');
    const flags = ['--namespace', 'default', '--metrics-port', String(port), '--health-port', '0'];
    const child = spawn(process.execPath, [program, 'operator', ...flags], {
      stdio: ['ignore', log, log],
      env: { ...process.env, KUBECONFIG: kubeconfig, POD_NAME: user },
    });
    closeSync(log);
    process.once('exit', () => child.kill('SIGKILL'));
    const operator = new OperatorProcess(child, port, logFile);
    await until(`operator ${user} answers`, 60_000, async () => {
      operator.assertRuns();
      return (await operator.metrics()) !== '';
    });
    return operator;
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  assertRuns(): void {
    if (this.ended) throw new Error(`the operator has ended:\n${this.log.slice(-3000)}`);
  }

  get log(): string {
    return readFileSync(this.#logFile, 'utf8');
  }

  async metrics(): Promise<string> {
    const { body } = await request(`http://127.0.0.1:${this.#metricsPort}/metrics`);
    return body.text();
  }

  /** The sum of a metric's series whose labels hold this text. */
  async metric(name: string, labels = ''): Promise<number> {
    const lines = (await this.metrics()).split('\n');
    return lines
      .filter((line) => (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) && line.includes(labels))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  async leads(): Promise<boolean> {
    return (await this.metric('leader_election_master_status')) === 1;
  }

  /** As a machine that loses its power. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    if (this.ended) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill(signal);
    await gone;
  }
}

/** Makes the cluster know our kinds, and these users its administrators. */
export async function prepare(client: KubeClient, users: readonly string[]): Promise<void> {
  for (const crd of [customResourceDefinition(), routerCustomResourceDefinition()]) await client.apply(customResourceDefinitions, crd);
  await until('the CRDs are served', 30_000, async () => (await client.list(r2rDeployments)).items.length >= 0);
  await until('that of R2RRouters, too', 30_000, async () => (await client.list(r2rRouters)).items.length >= 0);
  const group = 'rbac.authorization.k8s.io';
  await client.raw({
    method: 'POST',
    path: `/apis/${group}/v1/clusterrolebindings`,
    body: {
      apiVersion: `${group}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: 'operators' },
      roleRef: { apiGroup: group, kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: users.map((name) => ({ kind: 'User', apiGroup: group, name })),
    },
  });
}
