/** The cluster's programs and their command lines. */
import { join } from 'node:path';
import { certificateFile, keyFile } from './certificates.ts';
import { kubeconfigFile } from './configuration.ts';
import { apiServerUrl, etcdUrl, paths, settings } from './settings.ts';
import type { Tools } from './tools.ts';

export interface Program {
  readonly name: string;
  /** Absolute path, then arguments. */
  readonly command: readonly [string, ...string[]];
}

const { nodeAddress, nodeName, podRange, serviceRange, clusterDomain } = settings;
const serviceAccountIssuer = `https://kubernetes.default.svc.${clusterDomain}`;
const peerUrl = `https://${nodeAddress}:2380`;

const flags = (values: Readonly<Record<string, string | number | boolean>>): string[] =>
  Object.entries(values).map(([name, value]) => `--${name}=${value}`);

/** What the API server needs around it, in the order of starting; the API server itself is the last. */
export function controlPlane(tools: Tools): Program[] {
  const etcd = flags({
    name: 'r2r',
    'data-dir': paths.etcd,
    'listen-client-urls': etcdUrl,
    'advertise-client-urls': etcdUrl,
    'listen-peer-urls': peerUrl,
    'initial-advertise-peer-urls': peerUrl,
    'initial-cluster': `r2r=${peerUrl}`,
    'trusted-ca-file': certificateFile('ca'),
    'cert-file': certificateFile('etcd'),
    'key-file': keyFile('etcd'),
    'client-cert-auth': true,
    'peer-trusted-ca-file': certificateFile('ca'),
    'peer-cert-file': certificateFile('etcd'),
    'peer-key-file': keyFile('etcd'),
    'peer-client-cert-auth': true,
    // Nothing here has to survive a power cut, and fsync is what makes a slow disk a slow cluster.
    'unsafe-no-fsync': true,
    'log-level': 'warn',
  });
  const apiserver = flags({
    'bind-address': nodeAddress,
    'advertise-address': nodeAddress,
    'secure-port': 6443,
    'endpoint-reconciler-type': 'lease',
    'etcd-servers': etcdUrl,
    'etcd-cafile': certificateFile('ca'),
    'etcd-certfile': certificateFile('apiserver-client'),
    'etcd-keyfile': keyFile('apiserver-client'),
    'client-ca-file': certificateFile('ca'),
    'tls-cert-file': certificateFile('apiserver'),
    'tls-private-key-file': keyFile('apiserver'),
    'cert-dir': paths.pki,
    'kubelet-certificate-authority': certificateFile('ca'),
    'kubelet-client-certificate': certificateFile('apiserver-client'),
    'kubelet-client-key': keyFile('apiserver-client'),
    'kubelet-preferred-address-types': 'InternalIP',
    'service-cluster-ip-range': serviceRange,
    'service-account-issuer': serviceAccountIssuer,
    'service-account-key-file': keyFile('service-accounts'),
    'service-account-signing-key-file': keyFile('service-accounts'),
    'authorization-mode': 'Node,RBAC',
    'enable-admission-plugins': 'NodeRestriction',
    'allow-privileged': true,
    profiling: false,
  });
  return [
    { name: 'containerd', command: [tools.containerd, ...flags({ config: join(paths.configuration, 'containerd.toml') })] },
    { name: 'etcd', command: [tools.etcd, ...etcd] },
    { name: 'kube-apiserver', command: [tools.kubeApiserver, ...apiserver] },
  ];
}

/** What needs the API server; in any order. */
export function clients(tools: Tools): Program[] {
  const controllerManager = flags({
    kubeconfig: kubeconfigFile('kube-controller-manager'),
    'bind-address': nodeAddress,
    'leader-elect': false,
    'root-ca-file': certificateFile('ca'),
    'service-account-private-key-file': keyFile('service-accounts'),
    'use-service-account-credentials': true,
    'flex-volume-plugin-dir': join(paths.kubelet, 'volume-plugins'),
    profiling: false,
  });
  const scheduler = flags({
    kubeconfig: kubeconfigFile('kube-scheduler'),
    'bind-address': nodeAddress,
    'leader-elect': false,
    profiling: false,
  });
  const kubelet = flags({
    config: join(paths.configuration, 'kubelet.yaml'),
    kubeconfig: kubeconfigFile('kubelet'),
    'root-dir': paths.kubelet,
    'cert-dir': join(paths.kubelet, 'pki'),
    'hostname-override': nodeName,
    'node-ip': nodeAddress,
  });
  const proxy = flags({
    kubeconfig: kubeconfigFile('kube-proxy'),
    master: apiServerUrl,
    'hostname-override': nodeName,
    'bind-address': nodeAddress,
    'healthz-bind-address': `${nodeAddress}:10256`,
    'metrics-bind-address': `${nodeAddress}:10249`,
    'proxy-mode': 'iptables',
    'cluster-cidr': podRange,
    // Connection tracking's limits belong to the machine: leave them.
    'conntrack-max-per-core': 0,
    'conntrack-min': 0,
    'conntrack-tcp-timeout-established': 0,
    'conntrack-tcp-timeout-close-wait': 0,
    'iptables-localhost-nodeports': false,
  });
  return [
    { name: 'kube-controller-manager', command: [tools.kubeControllerManager, ...controllerManager] },
    { name: 'kube-scheduler', command: [tools.kubeScheduler, ...scheduler] },
    { name: 'kubelet', command: [tools.kubelet, ...kubelet] },
    { name: 'kube-proxy', command: [tools.kubeProxy, ...proxy] },
    { name: 'coredns', command: [tools.coredns, '-conf', join(paths.configuration, 'Corefile')] },
  ];
}

export const programNames = [
  'containerd',
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kube-proxy',
  'coredns',
] as const;
