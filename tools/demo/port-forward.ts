/** `kubectl port-forward` to a Service, which works on any cluster, as a resource that ends with its scope. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Cluster } from '../../test/cluster/cluster.ts';

export interface PortForward extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`; the port is free, chosen by kubectl. */
  readonly url: string;
}

/** @throws when kubectl ends or says nothing within 30 s; the message holds what it said */
export async function portForward(cluster: Cluster, namespace: string, target: string, port: number): Promise<PortForward> {
  const child = spawn(cluster.kubectlPath, [...cluster.kubectlArgs, 'port-forward', '--namespace', namespace, target, `:${port}`], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  };
  const deadline = setTimeout(() => child.kill('SIGTERM'), 30_000);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const local = /^Forwarding from 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (local === undefined) continue;
      child.stdout.resume();
      return { url: `http://127.0.0.1:${local}`, [Symbol.asyncDispose]: stop };
    }
  } finally {
    clearTimeout(deadline);
  }
  await stop();
  throw new Error(`kubectl port-forward ${target}: ${complaint.trim() || 'no answer within 30 s'}`);
}
