/** A namespace of the test API server with resources, pods whose routers answer, and nodes whose kubelet has logs. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import assert from 'node:assert/strict';
import type { ApiServer } from '../../api/api-server.ts';
import { resourcePath } from '../../api/api-server.ts';
import { routerPath } from '../../api/routers.ts';

const program = join(import.meta.dirname, '../../../src/cli/kubectl-r2r.ts');

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `kubectl r2r …` as a process. */
export async function kubectlR2R(environment: NodeJS.ProcessEnv, ...args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], { env: { ...process.env, ...environment } });
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) child[stream].on('data', (chunk: Buffer) => (output[stream] += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...output };
}

/** An address of this machine by which the API server reaches it: it takes no loopback for a pod's. */
export function machineAddress(): string {
  const address = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
  if (address === undefined) throw new Error('this machine has no address but loopback; the API server proxies to no loopback');
  return address;
}

export interface Pages {
  readonly port: number;
  /** Paths that were asked for. */
  readonly asked: string[];
  close(): void;
}

/** A pod's program: a page for each path. */
export function podPages(pages: Readonly<Record<string, () => string>>): Promise<Pages> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const [path = ''] = (request.url ?? '').split('?');
    asked.push(path);
    const page = pages[path];
    response.writeHead(page ? 200 : 404, { 'content-type': 'text/plain' }).end(page?.() ?? 'no such page');
  });
  return listening(server, asked);
}

/** A kubelet as far as the API server asks it for logs. @param log - of a container, by `namespace/pod/container`, with `previous` behind it where that is asked for */
export function kubelet(pair: { readonly cert: string; readonly key: string }, log: (of: string) => string | undefined): Promise<Pages> {
  const asked: string[] = [];
  const server = createTlsServer(pair, (request, response) => {
    const url = new URL(request.url ?? '', 'https://kubelet');
    asked.push(url.pathname + url.search);
    const of = url.pathname.replace('/containerLogs/', '') + (url.searchParams.get('previous') === 'true' ? '/previous' : '');
    const text = log(of);
    response.writeHead(text === undefined ? 404 : 200, { 'content-type': 'text/plain' }).end(text ?? 'no such container');
  });
  return listening(server, asked);
}

async function listening(server: Server, asked: string[]): Promise<Pages> {
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

interface Written {
  readonly metadata: { readonly name: string; readonly uid: string; readonly namespace?: string };
}

/** Creates an object and writes its status, as those do that own it. */
export async function put(server: ApiServer, path: string, object: object): Promise<Written> {
  const { status, ...rest } = object as { readonly status?: object; readonly metadata: { readonly name: string } };
  const made = await server.send('POST', path, rest);
  assert.equal(made.status, 201, made.body.message);
  if (status) {
    const written = await server.send('PATCH', `${path}/${rest.metadata.name}/status`, { status }, 'application/merge-patch+json');
    assert.equal(written.status, 200, written.body.message);
  }
  return made.body as unknown as Written;
}

export const paths = {
  deployments: (namespace: string) => resourcePath(namespace),
  routers: (namespace: string) => routerPath(namespace),
  pods: (namespace: string) => `/api/v1/namespaces/${namespace}/pods`,
  events: (namespace: string) => `/apis/events.k8s.io/v1/namespaces/${namespace}/events`,
  configMaps: (namespace: string) => `/api/v1/namespaces/${namespace}/configmaps`,
  secrets: (namespace: string) => `/api/v1/namespaces/${namespace}/secrets`,
  nodes: () => '/api/v1/nodes',
};

/** A pod that has an address: its fixture, reachable. */
export function at<T extends { readonly status: object }>(pod: T, address: string): T {
  return { ...pod, status: { ...pod.status, podIP: address, podIPs: [{ ip: address }] } };
}

/** The kubeconfig's text for a service account with these rights in the namespace. */
export async function tokenWith(server: ApiServer, namespace: string, name: string, rules: readonly object[]): Promise<string> {
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
  await server.send('POST', accounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } });
  await server.send('POST', `${rbac}/roles`, { metadata: { name }, rules });
  await server.send('POST', `${rbac}/rolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  });
  const token = await server.send('POST', `${accounts}/${name}/token`, { spec: {} });
  return (token.body as unknown as { status: { token: string } }).status.token;
}
