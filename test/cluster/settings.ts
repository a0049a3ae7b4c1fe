/**
 * Names and addresses of the local cluster. There is one per machine, because interfaces, addresses and firewall chains belong to the machine.
 * Everything it writes lies under `stateFolder`, and every process it runs names that folder on its command line: that is how `down` finds them.
 */
import { join } from 'node:path';

export const stateFolder = '/var/lib/r2r-cluster';

export const settings = {
  context: 'r2r-local',
  nodeName: 'r2r-node',
  /** A bridge without ports: an interface whose address pods can reach and that leads nowhere else. */
  nodeInterface: 'r2r-node',
  /** Everything below lies in this range; it must be free on the machine. */
  range: '10.254.0.0/16',
  nodeAddress: '10.254.0.1',
  podRange: '10.254.1.0/24',
  podGateway: '10.254.1.1',
  serviceRange: '10.254.128.0/17',
  kubernetesServiceAddress: '10.254.128.1',
  clusterDomain: 'cluster.local',
  /** The cgroup (in each hierarchy) above all pods. */
  cgroup: 'r2r-cluster',
  /** The comment of each firewall rule that is ours and not kube-proxy's. */
  firewallComment: 'r2r-cluster',
  gpus: 8,
  oldestKubernetes: { major: 1, minor: 29 },
} as const;

export const paths = {
  kubeconfig: join(stateFolder, 'kubeconfig'),
  /** What the machine was like before; written first and read by `down`. */
  before: join(stateFolder, 'before.json'),
  pki: join(stateFolder, 'pki'),
  configuration: join(stateFolder, 'configuration'),
  logs: join(stateFolder, 'logs'),
  etcd: join(stateFolder, 'etcd'),
  kubelet: join(stateFolder, 'kubelet'),
  podLogs: join(stateFolder, 'pod-logs'),
  containerd: join(stateFolder, 'containerd'),
  containerdRun: join(stateFolder, 'run'),
  containerdSocket: join(stateFolder, 'run', 'containerd.sock'),
  cni: join(stateFolder, 'cni'),
  /** Folders behind PersistentVolumes. */
  volumes: join(stateFolder, 'volumes'),
  lock: `${stateFolder}.lock`,
} as const;

export const apiServerUrl = `https://${settings.nodeAddress}:6443`;
export const etcdUrl = `https://${settings.nodeAddress}:2379`;
export const pauseImage = 'r2r.dev/pause:1';
