/** A namespace of its own for a test file, and what one does in it. */
import { randomBytes } from 'node:crypto';
import type { Cluster } from './cluster.ts';
import type { RunOptions } from './commands.ts';
import { until } from './progress.ts';

export interface Namespace {
  readonly name: string;
  /** Arguments that make a kubectl command use it. */
  readonly flags: readonly string[];
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>;
  apply(...objects: object[]): Promise<void>;
  /** One object such as `pod/NAME`, parsed. */
  get<T>(object: string): Promise<T>;
  /** Deletes it; its objects go in the background. */
  remove(): Promise<void>;
}

/** A new namespace whose name begins with `prefix`, ready for pods. */
export async function namespaced(cluster: Cluster, prefix: string, labels: Readonly<Record<string, string>> = {}): Promise<Namespace> {
  const name = `${prefix}-${randomBytes(3).toString('hex')}`;
  const flags = ['--namespace', name];
  const kubectl = (args: readonly string[], options?: RunOptions) => cluster.kubectl([...flags, ...args], options);
  const manifest = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
  await cluster.kubectl(['create', '--filename=-'], { input: JSON.stringify(manifest) });
  // Pods are refused until the controller has made the account that they run as.
  await until('the namespace has a service account', 60_000, async () => {
    return (await kubectl(['get', 'serviceaccount/default', '--ignore-not-found', '--output=name'])) !== '';
  });
  return {
    name,
    flags,
    kubectl,
    apply: async (...items) => {
      await kubectl(['apply', '--filename=-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
    },
    get: async <T>(object: string) => JSON.parse(await kubectl(['get', object, '--output=json'])) as T,
    remove: async () => {
      await cluster.kubectl(['delete', `namespace/${name}`, '--wait=false']);
    },
  };
}
