import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { until } from '../cluster/progress.ts';

/** `r2r operator` of one version, as a process of its own. */
export class OperatorProcess {
  readonly #child: ChildProcess;
  readonly #metricsPort: number;
  #output = '';

  private constructor(child: ChildProcess, metricsPort: number) {
    this.#child = child;
    this.#metricsPort = metricsPort;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#output = (this.#output + text).slice(-4000)));
    }
  }

  /** @param version - folder with its src/ and package.json */
  static async start(version: string, kubeconfig: string, routerImage: string): Promise<OperatorProcess> {
    const [metricsPort, healthPort] = await freePorts();
    const args = [
      'operator',
      '--router-image',
      routerImage,
      '--metrics-port',
      String(metricsPort),
      '--health-port',
      String(healthPort),
      '--namespace',
      'default',
    ];
    const child = spawn(process.execPath, [join(version, 'src/cli/main.ts'), ...args], {
      cwd: version,
      env: { PATH: process.env.PATH, KUBECONFIG: kubeconfig },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new OperatorProcess(child, metricsPort);
  }

  /** Until it leads and has reconciled R2RDeployments so often without an error. */
  async reconciled(times: number): Promise<void> {
    await until(
      `${times} reconciles`,
      90_000,
      async () => {
        if (this.#child.exitCode !== null) throw new Error(`the operator ended: ${this.#output}`);
        const text = await (await fetch(`http://127.0.0.1:${this.#metricsPort}/metrics`)).text();
        const counts = [...text.matchAll(/^controller_runtime_reconcile_total\{controller="r2rdeployment",result="(\w+)"\} (\d+)$/gm)];
        const failed = counts.filter(([, result]) => result === 'error').reduce((sum, [, , count]) => sum + Number(count), 0);
        if (failed > 0) throw new Error(`${failed} reconciles failed: ${this.#output}`);
        return counts.reduce((sum, [, , count]) => sum + Number(count), 0) >= times;
      },
      250,
    );
  }

  /** As a roll-out of the operator stops it. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) throw new Error(`the operator ended: ${this.#output}`);
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await exited;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()];
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ports.push((server.address() as AddressInfo).port);
  }
  for (const server of servers) server.close();
  return ports as [number, number];
}
