/** The configuration files of the cluster's programs, as text. Pure: everything they depend on is in settings.ts. */
import { join } from 'node:path';
import { stringify } from 'yaml';
import { certificateFile, keyFile, type CertificateName } from './certificates.ts';
import { apiServerUrl, paths, pauseImage, settings } from './settings.ts';

/** containerd's, with everything it writes below our folder, and reading of limits that sandboxed machines forbid turned off. */
export function containerdConfiguration(cniFolder: string): string {
  return `version = 2
root = "${paths.containerd}"
state = "${paths.containerdRun}/containerd"
# Snapshotters of file systems that this machine may not have only log errors.
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]

[grpc]
  address = "${paths.containerdSocket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "${paths.containerd}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  # Without CAP_SYS_RESOURCE (as in many sandboxes) the pause container's oom_score_adj of -998 cannot be set and it would die at once.
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  # Pods' network namespaces are mounts; below our folder \`down\` can tell them from other people's.
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${cniFolder}"
    conf_dir = "${paths.cni}/net.d"
`;
}

/**
 * Pods' network: a routed point-to-point link each. On a shared bridge, answers to Service traffic would pass the translation by unless
 * br_netfilter is loaded; routed links have no such condition.
 */
export function cniConfiguration(): string {
  const ipam = {
    type: 'host-local',
    dataDir: join(paths.cni, 'addresses'),
    ranges: [[{ subnet: settings.podRange, gateway: settings.podGateway }]],
    routes: [{ dst: '0.0.0.0/0' }],
  };
  return JSON.stringify({ cniVersion: '0.4.0', name: 'r2r-pods', plugins: [{ type: 'ptp', ipam }] }, undefined, 2);
}

export function kubeletConfiguration(): string {
  return stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: settings.nodeAddress,
    healthzBindAddress: settings.nodeAddress,
    readOnlyPort: 0,
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: certificateFile('ca') } },
    authorization: { mode: 'Webhook' },
    tlsCertFile: certificateFile('kubelet-server'),
    tlsPrivateKeyFile: keyFile('kubelet-server'),
    containerRuntimeEndpoint: `unix://${paths.containerdSocket}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${settings.cgroup}`,
    failCgroupV1: false,
    failSwapOn: false,
    oomScoreAdj: 0,
    clusterDNS: [settings.nodeAddress],
    clusterDomain: settings.clusterDomain,
    // An empty one: pods must not inherit the machine's search domains.
    resolvConf: join(paths.configuration, 'resolv.conf'),
    podLogsDir: paths.podLogs,
    volumePluginDir: join(paths.kubelet, 'volume-plugins'),
    makeIPTablesUtilChains: false,
    serializeImagePulls: false,
    // A developer's disk is often nearly full, and imported images can't be pulled again: neither evict for space nor collect images.
    localStorageCapacityIsolation: false,
    imageGCHighThresholdPercent: 100,
    evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '1%', 'nodefs.inodesFree': '1%', 'imagefs.available': '1%' },
    // How soon the node's status (Ready, GPUs) and a pod's follow.
    nodeStatusUpdateFrequency: '2s',
    syncFrequency: '10s',
  });
}

/** Answers for the cluster's own names. It takes the root zone too, so that any other name does not exist (pods have no way out): refused ones would be asked again and again. */
export function corednsConfiguration(): string {
  return `.:53 {
    bind ${settings.nodeAddress}
    errors
    health ${settings.nodeAddress}:8080
    ready ${settings.nodeAddress}:8181
    kubernetes ${settings.clusterDomain} in-addr.arpa . {
        kubeconfig ${kubeconfigFile('coredns')}
        ttl 5
    }
    cache 5
}
`;
}

/** RBAC for CoreDNS, which runs on the node and not in a pod. */
export const corednsAccess: readonly object[] = [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'r2r:coredns' },
    rules: [
      { apiGroups: [''], resources: ['services', 'pods', 'namespaces'], verbs: ['list', 'watch'] },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
    ],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'r2r:coredns' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'r2r:coredns' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'r2r:coredns' }],
  },
];

export function kubeconfigFile(user: CertificateName): string {
  return user === 'admin' ? paths.kubeconfig : join(paths.configuration, `${user}.kubeconfig`);
}

/** A kubeconfig with everything inside it, so that it can be copied; the arguments are PEM texts. */
export function kubeconfig(user: string, pem: { readonly authority: string; readonly certificate: string; readonly key: string }): string {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const name = settings.context;
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster: { server: apiServerUrl, 'certificate-authority-data': base64(pem.authority) } }],
    users: [{ name: user, user: { 'client-certificate-data': base64(pem.certificate), 'client-key-data': base64(pem.key) } }],
    contexts: [{ name, context: { cluster: name, user } }],
  });
}
