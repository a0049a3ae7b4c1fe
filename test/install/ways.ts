import { join } from 'node:path';
import { run } from '../cluster/commands.ts';
import type { HelmVersion } from './helm.ts';
import { Helm } from './helm.ts';

export type Kubectl = (args: readonly string[], input?: string) => Promise<string>;

export function kubectlWith(program: string, kubeconfig: string): Kubectl {
  return (args, input = '') => run(program, ['--kubeconfig', kubeconfig, ...args], { input, timeoutMs: 180_000 });
}

/** A way to install, as docs/install.md has it. A version is a folder of versions.ts. */
export interface Way {
  readonly name: string;
  install(version: string): Promise<string>;
  upgrade(version: string): Promise<string>;
  /** To an older version, whose operator then runs with the newer CRDs. */
  downgrade(version: string): Promise<string>;
  /** The operator and its rights; not the CRDs. */
  uninstall(version: string): Promise<string>;
}

/** Of everything but the CRDs, which bear another name. */
const notCrds = ['--selector', 'app.kubernetes.io/name=r2r-operator'];

export function manifestWay(kubectl: Kubectl): Way {
  const file = (version: string) => ['--filename', join(version, 'dist/install.yaml')];
  return {
    name: 'the manifest',
    install: (version) => kubectl(['apply', '--server-side', ...file(version)]),
    upgrade: (version) => kubectl(['apply', '--server-side', ...file(version)]),
    downgrade: (version) => kubectl(['apply', '--server-side', ...notCrds, ...file(version)]),
    uninstall: (version) => kubectl(['delete', '--ignore-not-found', ...notCrds, ...file(version)]),
  };
}

export function kustomizeWay(kubectl: Kubectl): Way {
  const folder = (version: string) => join(version, 'install/kustomize/base');
  const piped = async (version: string, args: readonly string[]) =>
    kubectl([...args, '--filename', '-'], await kubectl(['kustomize', folder(version)]));
  return {
    name: 'kustomize',
    // Without --server-side: the CRDs must fit into the annotation of a client-side apply.
    install: (version) => kubectl(['apply', '--kustomize', folder(version)]),
    upgrade: (version) => kubectl(['apply', '--kustomize', folder(version)]),
    downgrade: (version) => piped(version, ['apply', ...notCrds]),
    uninstall: (version) => piped(version, ['delete', '--ignore-not-found', ...notCrds]),
  };
}

export interface HelmWay extends Way {
  /** Of what another way has installed. */
  takeOver(version: string): Promise<string>;
  /** After {@link takeOver}. */
  upgradeTakenOver(version: string): Promise<string>;
}

export async function helmWay(major: HelmVersion, kubeconfig: string): Promise<HelmWay> {
  const helm = await Helm.of(major, kubeconfig);
  const namespace = ['--namespace', 'r2r-system'];
  const chart = (version: string) => join(version, 'charts/r2r-kubernetes');
  // Helm 4 applies on the server's side, where kubectl stays an owner of what it applied.
  const force = major === 4 ? ['--force-conflicts'] : [];
  return {
    name: `Helm ${major}`,
    install: (version) => helm.run(['install', 'r2r', chart(version), ...namespace, '--create-namespace']),
    upgrade: (version) => helm.run(['upgrade', 'r2r', chart(version), ...namespace]),
    downgrade: (version) => helm.run(['upgrade', 'r2r', chart(version), ...namespace, '--set', 'crds.install=false']),
    takeOver: (version) => helm.run(['install', 'r2r', chart(version), ...namespace, '--take-ownership', ...force]),
    upgradeTakenOver: (version) => helm.run(['upgrade', 'r2r', chart(version), ...namespace, ...force]),
    uninstall: () => helm.run(['uninstall', 'r2r', ...namespace]),
  };
}
