/** The command lines of a simulated cluster's programs. Pure. */
import { join } from 'node:path';

export interface Ports {
  readonly etcd: number;
  readonly etcdPeer: number;
  readonly apiServer: number;
}

/** Requests a second that the controller-manager and the scheduler may send: far more than their defaults of 20 and 50, which would be measured instead of us. */
export const clientRequestsPerSecond = 500;

/** Pods' addresses: a network namespace of its own answers for all of them. */
export const podRange = '10.64.0.0/12';

const flags = (values: Readonly<Record<string, string | number | boolean>>): string[] =>
  Object.entries(values).map(([name, value]) => `--${name}=${value}`);

/** Files below a cluster's folder. */
export const files = {
  tokens: 'tokens.csv',
  accountKey: 'service-accounts.key',
  certificates: 'certificates',
  authority: 'certificates/apiserver.crt',
  kubeconfig: 'kubeconfig',
  auditPolicy: 'audit-policy.json',
  auditLog: 'audit.log',
  stages: 'stages.yaml',
} as const;

export function etcd(folder: string, { etcd: port, etcdPeer }: Ports): string[] {
  const url = `http://127.0.0.1:${port}`;
  const peerUrl = `http://127.0.0.1:${etcdPeer}`;
  return flags({
    'data-dir': join(folder, 'etcd'),
    'listen-client-urls': url,
    'advertise-client-urls': url,
    'listen-peer-urls': peerUrl,
    'initial-advertise-peer-urls': peerUrl,
    'initial-cluster': `default=${peerUrl}`,
    'quota-backend-bytes': 8 * 1024 ** 3,
    'unsafe-no-fsync': true,
    'log-level': 'warn',
  });
}

/** @param withAccounts - pods must run as accounts, which a controller-manager makes */
export function apiServer(folder: string, { etcd: etcdPort, apiServer: port }: Ports, withAccounts: boolean): string[] {
  const key = join(folder, files.accountKey);
  return flags({
    'etcd-servers': `http://127.0.0.1:${etcdPort}`,
    'bind-address': '127.0.0.1',
    'advertise-address': '127.0.0.1',
    'secure-port': port,
    'cert-dir': join(folder, files.certificates),
    'token-auth-file': join(folder, files.tokens),
    'authorization-mode': 'RBAC',
    'service-account-issuer': 'https://kubernetes.default.svc.cluster.local',
    'service-account-key-file': key,
    'service-account-signing-key-file': key,
    'service-cluster-ip-range': '10.96.0.0/12',
    'endpoint-reconciler-type': 'none',
    // nobody watches over nodes here, see controllerManager: new ones must not wait for a word that never comes
    'disable-admission-plugins': withAccounts ? 'TaintNodesByCondition' : 'ServiceAccount',
    'allow-privileged': true,
    // Debian's etcd cannot stream lists, and kwok's watches, which the server takes for that, would be cut off again and again
    'feature-gates': 'WatchList=false',
    'audit-policy-file': join(folder, files.auditPolicy),
    'audit-log-path': join(folder, files.auditLog),
    'audit-log-mode': 'batch',
    'audit-log-batch-max-wait': '500ms',
    profiling: false,
  });
}

export function controllerManager(folder: string): string[] {
  return flags({
    kubeconfig: join(folder, files.kubeconfig),
    'leader-elect': false,
    'service-account-private-key-file': join(folder, files.accountKey),
    'root-ca-file': join(folder, files.authority),
    'use-service-account-credentials': false,
    // kwok's nodes are Ready for ever and send no heartbeats: on a busy machine late ones would take pods down
    controllers: '*,-node-lifecycle-controller,-taint-eviction-controller',
    'kube-api-qps': clientRequestsPerSecond,
    'kube-api-burst': clientRequestsPerSecond,
    'flex-volume-plugin-dir': join(folder, 'volume-plugins'),
    'secure-port': 0,
    profiling: false,
  });
}

export function scheduler(folder: string): string[] {
  return flags({
    kubeconfig: join(folder, files.kubeconfig),
    'leader-elect': false,
    'kube-api-qps': clientRequestsPerSecond,
    'kube-api-burst': clientRequestsPerSecond,
    'secure-port': 0,
    profiling: false,
  });
}

export function kwok(folder: string): string[] {
  return flags({
    kubeconfig: join(folder, files.kubeconfig),
    'manage-all-nodes': true,
    cidr: podRange,
    // nobody calls it
    'node-ip': '10.95.255.1',
    config: join(folder, files.stages),
    v: 'WARN',
  });
}

/** What a user did, one line a request: whose requests are worth a line is the test's to say. */
export function auditPolicy(users: readonly string[]): object {
  return {
    apiVersion: 'audit.k8s.io/v1',
    kind: 'Policy',
    omitStages: ['RequestReceived', 'ResponseStarted'],
    rules: [...(users.length > 0 ? [{ level: 'Metadata', users }] : []), { level: 'None' }],
  };
}
