/** The programs a local Kubernetes consists of: where they are, and how they get there on a fresh machine. */
import { join } from 'node:path';
import { debianProgramPaths, findProgram } from './debian-packages.ts';
import { goProgramPaths, goPrograms } from './go-programs.ts';
import { stderrProgress, type Progress } from './progress.ts';

/** What an API server without nodes needs: etcd, kube-apiserver and kubectl, as absolute paths. */
export interface ControlPlaneTools {
  readonly etcd: string;
  readonly kubeApiserver: string;
  readonly kubectl: string;
}

/** Absolute paths of everything that a node needs; `cniFolder` holds the CNI plug-ins. */
export interface Tools extends ControlPlaneTools {
  readonly kubeControllerManager: string;
  readonly kubeScheduler: string;
  readonly kubelet: string;
  readonly kubeProxy: string;
  readonly coredns: string;
  readonly containerd: string;
  readonly ctr: string;
  readonly iptables: string;
  readonly ip6tables: string;
  readonly ip: string;
  readonly openssl: string;
  readonly cniFolder: string;
}

/** A program that envtest's variables name: `TEST_ASSET_KUBE_APISERVER` is a file, `KUBEBUILDER_ASSETS` a folder. */
function envtestAsset(name: string): string | undefined {
  const { KUBEBUILDER_ASSETS: assets, [`TEST_ASSET_${name.toUpperCase().replaceAll('-', '_')}`]: asset } = process.env;
  return asset ?? (assets ? join(assets, name) : undefined);
}

/**
 * The tools of an API server without nodes. envtest's variables win; otherwise etcd comes from Debian, and Kubernetes is built once and
 * cached (5 to 15 minutes the first time).
 */
export async function controlPlaneTools(progress: Progress = stderrProgress()): Promise<ControlPlaneTools> {
  const assets = { etcd: envtestAsset('etcd'), kubeApiserver: envtestAsset('kube-apiserver'), kubectl: envtestAsset('kubectl') };
  const etcd = assets.etcd ?? findProgram('etcd') ?? (await debianProgramPaths(['etcd'], progress)).etcd;
  if (assets.kubeApiserver && assets.kubectl) return { etcd, kubeApiserver: assets.kubeApiserver, kubectl: assets.kubectl };
  const built = await goProgramPaths(['kube-apiserver', 'kubectl'], progress);
  return { etcd, kubeApiserver: assets.kubeApiserver ?? built['kube-apiserver'], kubectl: assets.kubectl ?? built.kubectl };
}

/** The tools of a whole node. envtest's variables are not for this: a kubelet must not be newer than its API server. */
export async function tools(progress: Progress = stderrProgress()): Promise<Tools> {
  const debian = await debianProgramPaths(
    ['etcd', 'containerd', 'ctr', 'runc', 'containerd-shim-runc-v2', 'iptables', 'ip6tables', 'nft', 'ip', 'conntrack', 'socat', 'openssl'],
    progress,
    { withCni: true },
  );
  const built = await goProgramPaths(goPrograms, progress);
  return {
    etcd: debian.etcd,
    containerd: debian.containerd,
    ctr: debian.ctr,
    iptables: debian.iptables,
    ip6tables: debian.ip6tables,
    ip: debian.ip,
    openssl: debian.openssl,
    cniFolder: debian.cniFolder,
    kubectl: built.kubectl,
    kubeApiserver: built['kube-apiserver'],
    kubeControllerManager: built['kube-controller-manager'],
    kubeScheduler: built['kube-scheduler'],
    kubelet: built.kubelet,
    kubeProxy: built['kube-proxy'],
    coredns: built.coredns,
  };
}
