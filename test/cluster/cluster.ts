/**
 * The Kubernetes that tests and the demo use: the local one, or an existing one named by its kubectl context.
 *
 *     const cluster = await ensureCluster();
 *     await cluster.kubectl(['apply', '--filename', 'dist/install.yaml']);
 */
import { totalmem } from 'node:os';
import { run, type RunOptions } from './commands.ts';
import { findProgram } from './debian-packages.ts';
import { goProgramPaths } from './go-programs.ts';
import { imageNames, importImage } from './image-store.ts';
import { assertCanRun, thisMachine } from './prerequisites.ts';
import { stderrProgress, type Progress } from './progress.ts';
import { processes } from './processes.ts';
import { paths, settings } from './settings.ts';
import { tools } from './tools.ts';
import { up } from './up.ts';
import { registerUser } from './users.ts';

export interface Cluster {
  /** A file for `KUBECONFIG` or `--kubeconfig`; undefined: kubectl's own default. */
  readonly kubeconfig: string | undefined;
  readonly context: string;
  /** Absolute path of a kubectl that fits. */
  readonly kubectlPath: string;
  /** Whether it is the one that `up` starts on this machine. */
  readonly isLocal: boolean;
  /** Whether this call started it, so that whoever called may take it down. */
  readonly startedHere: boolean;
  /** The machine's address as pods see it; undefined for an existing cluster. */
  readonly hostAddress: string | undefined;
  /** Standard output of `kubectl ARGS`. Throws CommandError. */
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Arguments that make any kubectl command talk to this cluster, for processes that the caller runs itself. */
  readonly kubectlArgs: readonly string[];
  /** Loads an archive (`docker save` or OCI) into the node, so that `imagePullPolicy: IfNotPresent` finds its images. */
  importImage(archive: string): Promise<void>;
  /** Full names of the images on the local node. */
  images(): Promise<string[]>;
}

export interface ClusterOptions {
  /** A context of an existing cluster in the user's kubeconfig. Default: the local cluster. */
  readonly context?: string;
  readonly progress?: Progress;
}

const noImport = (context: string) => () =>
  Promise.reject(
    new Error(
      `Images can be loaded into the local cluster only. For context ${context}, push them to a registry that it pulls from, ` +
        'or use its own loader (`kind load image-archive`, `minikube image load`).',
    ),
  );

function localCluster(kubectlPath: string, ctr: string, startedHere: boolean): Cluster {
  const { context } = settings;
  const kubectlArgs = ['--kubeconfig', paths.kubeconfig, '--context', context];
  return {
    kubeconfig: paths.kubeconfig,
    context,
    kubectlPath,
    isLocal: true,
    startedHere,
    hostAddress: settings.nodeAddress,
    kubectlArgs,
    kubectl: (args, options) => run(kubectlPath, [...kubectlArgs, ...args], options),
    importImage: (archive) => importImage(ctr, archive),
    images: () => imageNames(ctr),
  };
}

interface Versions {
  readonly serverVersion?: { readonly major: string; readonly minor: string; readonly gitVersion: string };
}

/** Throws when a server is older than what the operator supports. `major` and `minor` as /version gives them, e.g. `1` and `29+`. */
export function assertSupported(version: { readonly major: string; readonly minor: string; readonly gitVersion: string }): void {
  const { major, minor } = settings.oldestKubernetes;
  const [theirMajor, theirMinor] = [parseInt(version.major, 10), parseInt(version.minor, 10)];
  if (theirMajor < major || (theirMajor === major && theirMinor < minor)) {
    throw new Error(`The cluster runs Kubernetes ${version.gitVersion}; R2R needs ${major}.${minor} or newer (native sidecar containers).`);
  }
}

async function existingCluster(context: string, progress: Progress): Promise<Cluster> {
  const kubectlPath = findProgram('kubectl') ?? (await goProgramPaths(['kubectl'], progress)).kubectl;
  const kubectlArgs = ['--context', context];
  const kubectl = (args: readonly string[], options?: RunOptions) => run(kubectlPath, [...kubectlArgs, ...args], options);
  const versions = JSON.parse(await kubectl(['version', '--output=json', '--request-timeout=10s'])) as Versions;
  if (!versions.serverVersion) throw new Error(`The cluster of context ${context} does not say its version.`);
  assertSupported(versions.serverVersion);
  progress(`context ${context}: Kubernetes ${versions.serverVersion.gitVersion} answers`);
  const local = { isLocal: false, startedHere: false, hostAddress: undefined, kubeconfig: process.env.KUBECONFIG };
  return { ...local, context, kubectlPath, kubectlArgs, kubectl, importImage: noImport(context), images: noImport(context) };
}

/** A running cluster: the existing one of `context`, else the local one, started if it does not run. Being called twice is harmless. */
export async function ensureCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const progress = options.progress ?? stderrProgress();
  if (options.context) return existingCluster(options.context, progress);
  assertCanRun(thisMachine(totalmem()));
  const wasRunning = processes().length > 0;
  const { kubectl, ctr } = await up(progress);
  await registerUser();
  return localCluster(kubectl, ctr, !wasRunning);
}

/** A cluster that runs already, left as it is; throws, saying how to start it, if the local one does not. */
export async function openCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const progress = options.progress ?? stderrProgress();
  if (options.context) return existingCluster(options.context, progress);
  if (!processes().some(({ name }) => name === 'kube-apiserver')) {
    throw new Error('The local cluster is not running: start it with `npm run cluster -- up`, or name another with `--context NAME`.');
  }
  const { kubectl, ctr } = await tools(progress);
  return localCluster(kubectl, ctr, false);
}
